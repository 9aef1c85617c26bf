//! Every way in which a file is replaced, and every content that must not replace a good one.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

static TEXT: Kind<String> = Kind {
    name: "text",
    bytes_max: 64,
    private: Some(0),
    read: |contents| match std::str::from_utf8(&contents[0]) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err((0, "is not UTF-8; save it as UTF-8".to_owned())),
    },
};

fn open(files: &LiveFiles, path: &Path) -> Arc<Live<String>> {
    files.open(&TEXT, vec![path.to_owned()]).expect("a good file")
}

#[test]
fn every_way_of_replacing_a_file_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    let files = LiveFiles::default();
    fs::write(&path, "one").expect("written");
    let live = open(&files, &path);
    assert_eq!(**live.load(), "one");

    fs::write(&path, "two").expect("written");
    files.look();
    assert_eq!(**live.load(), "two", "in place, with the same length");

    let beside = folder.path().join("new");
    fs::write(&beside, "three").expect("written");
    fs::rename(&beside, &path).expect("renamed");
    files.look();
    assert_eq!(**live.load(), "three", "renamed over");
}

#[test]
fn a_swap_of_the_data_folder_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("..1", "one"), ("..2", "two")] {
        fs::create_dir(at(version)).expect("made");
        fs::write(at(version).join("key"), text).expect("written");
    }
    symlink("..1", at("..data")).expect("linked");
    symlink("..data/key", at("key")).expect("linked");
    let files = LiveFiles::default();
    let live = open(&files, &at("key"));
    symlink("..2", at("..new")).expect("linked");
    fs::rename(at("..new"), at("..data")).expect("swapped");
    files.look();
    assert_eq!(**live.load(), "two");
}

#[test]
fn content_that_cannot_be_used_keeps_the_old_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    let files = LiveFiles::default();
    fs::write(&path, "good").expect("written");
    let live = open(&files, &path);
    let bad: &[(&[u8], &str)] = &[
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xff", "is not UTF-8"),
        (&[b'x'; 65], "is larger than"),
    ];
    for (content, reason) in bad {
        fs::write(&path, content).expect("written");
        files.look();
        assert_eq!(**live.load(), "good");
        let faults = files.faults();
        assert!(faults.len() == 1 && faults[0].contains(reason), "{faults:?}");
        assert!(files.open(&TEXT, vec![path.clone()]).is_ok(), "it is known already");
    }
    fs::remove_file(&path).expect("removed");
    files.look();
    assert!(files.faults()[0].contains("cannot be read"), "{:?}", files.faults());
    fs::create_dir(&path).expect("made");
    files.look();
    assert!(files.faults()[0].contains("is not a regular file"), "{:?}", files.faults());
    fs::remove_dir(&path).expect("removed");
    fs::write(&path, "better").expect("written");
    files.look();
    assert_eq!((&**live.load(), files.faults().len()), (&"better".to_owned(), 0));
}

#[test]
fn a_file_that_is_new_must_be_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = LiveFiles::default();
    let refused = |path: &Path| files.open(&TEXT, vec![path.to_owned()]).expect_err("refused");
    assert!(refused(&folder.path().join("none")).contains("cannot be read"));
    assert!(refused(folder.path()).contains("is not a regular file"));
    assert!(refused(Path::new("/dev/null")).contains("is not a regular file"));
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success() && refused(&pipe).contains("is not a regular file"));
    assert!(files.faults().is_empty());
}

#[test]
fn two_users_of_a_file_share_its_value_until_both_are_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    fs::write(&path, "one").expect("written");
    let files = LiveFiles::default();
    let (first, second) = (open(&files, &path), open(&files, &path));
    assert!(Arc::ptr_eq(&first, &second));
    drop((first, second));
    assert!(files.alive().is_empty());
}

#[test]
fn a_private_file_that_everyone_may_read_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    fs::write(&path, "one").expect("written");
    let files = LiveFiles::default();
    let _live = open(&files, &path);
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1), (0o604, 1)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        assert_eq!(files.warnings().len(), warnings, "{mode:o}");
    }
}

#[test]
fn paths_are_found_beside_the_configuration_first() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a"), "").expect("written");
    let folders = [folder.path().join("none"), folder.path().to_owned()];
    assert_eq!(find(Path::new("a"), &folders), folder.path().join("a"));
    assert_eq!(find(Path::new("b"), &folders), Path::new("b"));
    assert_eq!(find(Path::new("/x/y"), &folders), Path::new("/x/y"));
}

#[test]
fn a_secret_that_is_swapped_for_one_that_all_may_read_is_warned_of_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    fs::write(&path, "one").expect("written");
    mode(0o600);
    let live = open(&LiveFiles::default(), &path);
    let newly = || live.newly_exposed(&mut lock(&live.state));
    assert_eq!(newly(), None);
    fs::write(&path, "two").expect("written");
    mode(0o644);
    let warning = newly().expect("a warning");
    assert!(warning.contains("may read this secret"), "{warning}");
    assert_eq!(newly(), None, "told already");
    mode(0o600);
    assert_eq!(newly(), None);
    mode(0o604);
    assert!(newly().is_some());
}
