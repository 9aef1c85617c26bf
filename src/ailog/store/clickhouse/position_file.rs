//! The place in the log up to which ClickHouse has the rows, in the file
//! `data_dir/clickhouse.position`.
//!
//! Two slots, each with a number, the place and a checksum, are written in turn; the intact one
//! with the higher number counts.
//!
//! Guarantees: the end of the process, or with `sync` a power cut, leaves the former place or the
//! new one. Once the file exists, keeping a place needs no room on the disk, so that a disk that
//! waiting rows have filled can be emptied again. A file of one line, as a former version wrote it,
//! is understood. Does not: interpret the place (see `wal/reader`).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::ailog::private;
use crate::ailog::store::Resume;
use crate::ailog::wal::position::Position;

/// A sector: a torn write of one slot cannot damage the other.
const SLOT_BYTES: usize = 512;
const FILE_BYTES: usize = 2 * SLOT_BYTES;

/// The file, and the number of its newest slot.
pub(crate) struct PositionFile {
    path: PathBuf,
    /// Opened, with its final length.
    file: Option<File>,
    /// The number of the slot that counts.
    number: u64,
    /// The file's name is on the disk.
    is_named: bool,
}

/// The content of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// Something, but not a place.
    Damaged,
    Place {
        number: u64,
        resume: Resume,
        /// A version kept it that wrote all columns into one table.
        is_former: bool,
    },
}

impl PositionFile {
    /// The file at `path`, which is created if it does not exist. If that fails, it is retried with
    /// each place.
    pub(crate) fn new(path: PathBuf) -> PositionFile {
        let mut position = PositionFile { path, file: None, number: 0, is_named: false };
        if let Ok(Found::Place { number, .. }) = find(&position.path) {
            position.number = number;
        }
        let _ = position.open();
        position
    }

    /// Keeps a place; with `sync` it is on the disk when this returns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn keep(&mut self, resume: Resume, sync: bool) -> io::Result<()> {
        let number = self.number + 1;
        let slot = slot(number, resume);
        let folder = self.path.parent().filter(|_| sync && !self.is_named).map(Path::to_owned);
        let file = self.open()?;
        file.write_all_at(&slot, number % 2 * SLOT_BYTES as u64)?;
        if sync {
            file.sync_data()?;
        }
        self.number = number;
        if let Some(folder) = folder {
            File::open(folder)?.sync_all()?;
            self.is_named = true;
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = private::options()
                    .create(true)
                    .truncate(false)
                    .read(true)
                    .write(true)
                    .open(&self.path)?;
                let length = usize::try_from(file.metadata()?.len()).unwrap_or(FILE_BYTES);
                if length < FILE_BYTES {
                    // Written, not only extended: this takes the room on the disk now.
                    file.write_all_at(&vec![0; FILE_BYTES - length], length as u64)?;
                }
                file
            }
        };
        Ok(self.file.insert(file))
    }
}

/// Reads the file at `path`.
///
/// # Errors
/// It cannot be read.
pub(crate) fn find(path: &Path) -> io::Result<Found> {
    let mut content = Vec::with_capacity(FILE_BYTES);
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES as u64).read_to_end(&mut content)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    if content.iter().all(|byte| *byte == 0) {
        return Ok(Found::Nothing);
    }
    let newest = content.chunks(SLOT_BYTES).filter_map(parse).max_by_key(|slot| slot.0);
    Ok(newest.map_or(Found::Damaged, |(number, resume, is_former)| Found::Place {
        number,
        resume,
        is_former,
    }))
}

/// A slot's bytes.
fn slot(number: u64, resume: Resume) -> [u8; SLOT_BYTES] {
    let Resume { position, sealed_until } = resume;
    let mut text = format!("3 {number} {} {}", position.segment.simple(), position.offset);
    if let Some(end) = sealed_until {
        text.push_str(&format!(" {end}"));
    }
    text.push_str(&format!("\n{:08x}\n", crc32c::crc32c(text.as_bytes())));
    let mut slot = [0; SLOT_BYTES];
    // Three numbers and an id: about 120 bytes at most.
    slot[..text.len()].copy_from_slice(text.as_bytes());
    slot
}

fn parse(slot: &[u8]) -> Option<(u64, Resume, bool)> {
    let text = std::str::from_utf8(slot).ok()?.trim_end_matches('\0');
    let (line, crc) = text.split_once('\n')?;
    if crc.trim_end() != format!("{:08x}", crc32c::crc32c(line.as_bytes())) {
        return None;
    }
    let mut words = line.split(' ');
    let (number, is_former) = match words.next()? {
        // The line of a former version, in the place of the first slot.
        "1" => (0, true),
        // Of a version that wrote all columns into one table.
        "2" => (words.next()?.parse().ok()?, true),
        "3" => (words.next()?.parse().ok()?, false),
        _ => return None,
    };
    let position = Position {
        segment: Uuid::parse_str(words.next()?).ok()?,
        offset: words.next()?.parse().ok()?,
    };
    let sealed_until = words.next().map(str::parse).transpose().ok()?;
    Some((number, Resume { position, sealed_until }, is_former))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn resume(offset: u64, sealed_until: Option<u64>) -> Resume {
        Resume { position: Position { segment: Uuid::now_v7(), offset }, sealed_until }
    }

    fn place(path: &Path) -> Option<Resume> {
        match find(path).expect("read") {
            Found::Place { resume, .. } => Some(resume),
            Found::Nothing | Found::Damaged => None,
        }
    }

    #[test]
    fn the_last_place_is_found_and_keeping_one_needs_no_room() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("p");
        let mut file = PositionFile::new(path.clone());
        assert_eq!(find(&path).expect("read"), Found::Nothing);
        let before = std::fs::metadata(&path).expect("it is there");
        for n in 0..5 {
            let now = resume(n, n.is_multiple_of(2).then_some(u64::MAX));
            file.keep(now, n > 2).expect("kept");
            assert_eq!(place(&path), Some(now));
            if n == 3 {
                file = PositionFile::new(path.clone());
            }
        }
        let after = std::fs::metadata(&path).expect("it is there");
        assert_eq!(
            (before.ino(), before.len(), before.blocks()),
            (after.ino(), after.len(), after.blocks())
        );
        assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 1, "no other file is made");
    }

    #[test]
    fn a_place_that_was_cut_off_leaves_the_one_before() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("p");
        let (first, second) = (resume(1, None), resume(2, Some(99)));
        let mut file = PositionFile::new(path.clone());
        file.keep(first, false).expect("kept");
        let before = std::fs::read(&path).expect("content");
        file.keep(second, false).expect("kept");
        let after = std::fs::read(&path).expect("content");
        let text = after[..SLOT_BYTES].iter().position(|byte| *byte == 0).expect("an end");
        // All of the text but its last line feed.
        for cut in 0..text - 1 {
            std::fs::write(&path, [&after[..cut], &before[cut..]].concat()).expect("torn");
            assert_eq!(place(&path), Some(first), "{cut}");
        }
        std::fs::write(&path, [b'?'; FILE_BYTES]).expect("damaged");
        assert_eq!(find(&path).expect("read"), Found::Damaged);
    }

    #[test]
    fn the_line_of_a_former_version_is_understood_until_a_newer_place_is_kept() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("p");
        let (former, now) = (resume(44, Some(99)), resume(100, None));
        let mut text = format!("1 {} 44 99", former.position.segment.simple());
        text.push_str(&format!("\n{:08x}\n", crc32c::crc32c(text.as_bytes())));
        std::fs::write(&path, &text).expect("written");
        assert_eq!(place(&path), Some(former));
        let mut file = PositionFile::new(path.clone());
        assert_eq!(place(&path), Some(former), "longer now");
        file.keep(now, false).expect("kept");
        assert_eq!(place(&path), Some(now));
    }
}
