//! Tables of hosts, addresses and variables.

use super::*;

/// Hosts and lists with curl's own answers: the examples of its manual, and the cases that its
/// tests are about.
#[test]
fn exceptions_follow_curl() {
    for (host, list, expected) in [
        ("www.example.com", "localhost,.example.com,.example.de", true),
        ("www.example.com.", "localhost,.example.com,.example.de", true),
        ("example.com", "localhost,.example.com,.example.de", true),
        ("example.com.", "localhost,.example.com,.example.de", true),
        ("www.example.com", "localhost,.example.com.,.example.de", true),
        ("www.example.com", "localhost,www.example.com.,.example.de", true),
        ("example.com", "localhost,example.com,.example.de", true),
        ("www.example.com", "localhost,example.com,.example.de", true),
        ("WWW.Example.COM", "example.com", true),
        ("nonexample.com", "example.com", false),
        ("nonexample.com", ".example.com", false),
        ("example.com", "www.example.com", false),
        ("example.com.evil.test", "example.com", false),
        ("127.0.0.1", "127.0.0.1,localhost", true),
        ("127.0.0.1", "localhost,127.0.0.1,", true),
        ("127.0.0.1", "127.0.0.1/8,localhost", true),
        ("127.0.0.1", "127.0.0.1/31", true),
        ("127.0.0.1", "localhost", false),
        ("localhost", "127.0.0.1", false),
        ("localhost", "127.0.0.1,localhost", true),
        ("192.168.0.1", "192.168.0.0/16", true),
        ("192.168.0.1", "192.168.0.0/24", true),
        ("192.168.0.1", "192.168.0.0/32", false),
        ("192.168.0.1", "192.168.0.0", false),
        ("192.168.1.1", "192.168.0.0/24", false),
        ("192.168.1.1", "foo, bar, 192.168.0.0/16", true),
        ("192.160.0.1", "192.160.0.1/33", false),
        ("10.1.2.3", "0.0.0.0/0", false),
        ("10.1.2.3", "10.0.0.0/x", false),
        ("10.1.2.3", "10.0.0.0/8", true),
        // An address is no name, so its end is no domain.
        ("10.1.2.3", "2.3", false),
        ("[::1]", "foo, bar, ::1/64", true),
        ("[::1]", "[::1]", true),
        ("[fd00::7]", "fd00::/8", true),
        ("[fe00::7]", "fd00::/8", false),
        ("[::1]", "192.168.0.0/16", false),
        ("foo", "foo,,,,,              bar", true),
        ("bar", "foo,,,,,              bar", true),
        ("a.test", "a.test b.test,c.test", true),
        ("c.test", "a.test b.test,c.test", false),
        ("example.com", "*", true),
        ("10.1.2.3", "*", true),
        ("example.com", "foo,*", false),
        ("www.example.com", "*.example.com", false),
        ("example.com", "example.com:443", false),
        ("example.com", ".", false),
        ("example.com", "", false),
    ] {
        assert_eq!(NoProxy::parse(list).has(host), expected, "{host} in {list:?}");
    }
}

#[test]
fn entries_without_effect_are_found() {
    let list =
        NoProxy::parse("example.com:443, *.example.com, [::1]:80, ::1, fd00::/8, a.b, 1.2.3.4");
    assert_eq!(
        list.without_effect().collect::<Vec<_>>(),
        ["example.com:443", "*.example.com", "[::1]:80"]
    );
    assert_eq!(NoProxy::parse("*").without_effect().count(), 0);
    assert_eq!(NoProxy::of(&["*".to_owned(), "a".to_owned()]).without_effect().count(), 1);
}

#[test]
fn addresses_of_proxies() {
    for (text, shown, authorization) in [
        ("http://proxy:3128", "http://proxy:3128", ""),
        ("http://proxy:3128/", "http://proxy:3128", ""),
        ("HTTP://proxy", "http://proxy:80", ""),
        ("https://proxy.corp.test", "https://proxy.corp.test:443", ""),
        ("proxy:3128", "http://proxy:3128", ""),
        (" 10.0.0.7:8080 ", "http://10.0.0.7:8080", ""),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128", ""),
        ("http://user:pass@proxy:3128", "http://proxy:3128", "Basic dXNlcjpwYXNz"),
        ("user@proxy:3128", "http://proxy:3128", "Basic dXNlcjo="),
        ("http://u%40x:p%3Aa%2Fb@proxy:3128", "http://proxy:3128", "Basic dUB4OnA6YS9i"),
        ("http://u:p%C3%A4@proxy:3128", "http://proxy:3128", "Basic dTpww6Q="),
    ] {
        let proxy = ProxyAddress::parse(text).expect(text);
        assert_eq!(
            (proxy.shown().as_str(), &**proxy.access.authorization()),
            (shown, authorization)
        );
        assert!(!format!("{proxy:?}").contains("Basic"));
    }
    for text in [
        "",
        "http://",
        "socks5://proxy:1080",
        "ftp://proxy",
        "http://proxy:0",
        "http://proxy:x",
        "http://proxy:",
        "http://proxy:99999",
        "http://proxy:3128/path",
        "http://a b:3128",
        "http://user:pa/ss@proxy:3128",
        "http://user:pa@ss@proxy:3128",
        "http://us%3Aer:pass@proxy:3128",
        "http://user:a%0Ab@proxy:3128",
        "http://user:%ff@proxy:3128",
        "http://[::x]:3128",
        "://proxy",
    ] {
        let reason = ProxyAddress::parse(text).expect_err(text);
        assert!(reason.contains("; ") && !reason.contains("pa/ss"), "{text}: {reason}");
    }
}

fn environment<'e>(variables: &'e [(&'e str, &'e str)]) -> impl Fn(&str) -> Option<String> + 'e {
    |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

fn chosen(variables: &[(&str, &str)], target: &str) -> Option<String> {
    let proxies = Proxies::from_environment(&environment(variables));
    let target = target.parse().expect("a URL");
    proxies.expect("usable variables").of(&target).map(|proxy| proxy.shown())
}

#[test]
fn the_environment_names_a_proxy_for_each_scheme() {
    const BOTH: &[(&str, &str)] = &[("HTTPS_PROXY", "http://s:1"), ("HTTP_PROXY", "http://p:2")];
    const LOWER: &[(&str, &str)] = &[("HTTPS_PROXY", "http://up:1"), ("https_proxy", "low:1")];
    const ALL: &[(&str, &str)] = &[("ALL_PROXY", "http://all:3"), ("HTTPS_PROXY", "")];
    const NO: &[(&str, &str)] =
        &[("HTTPS_PROXY", "http://s:1"), ("NO_PROXY", "a.test, 10.0.0.0/8")];
    for (variables, target, expected) in [
        (BOTH, "https://a.test", Some("http://s:1")),
        (BOTH, "http://a.test", Some("http://p:2")),
        (LOWER, "https://a.test", Some("http://low:1")),
        (LOWER, "http://a.test", None),
        (ALL, "https://a.test", Some("http://all:3")),
        (ALL, "http://a.test", Some("http://all:3")),
        (NO, "https://www.a.test/v1", None),
        (NO, "https://10.2.3.4/v1", None),
        (NO, "https://b.test/v1", Some("http://s:1")),
        (&[], "https://a.test", None),
        // No exemption for this machine, as in curl.
        (BOTH, "http://localhost:8000", Some("http://p:2")),
    ] {
        assert_eq!(chosen(variables, target).as_deref(), expected, "{variables:?} {target}");
    }
}

#[test]
fn metadata_services_have_no_proxy() {
    const ALL: &[(&str, &str)] = &[("ALL_PROXY", "http://all:3")];
    for target in [
        "http://169.254.169.254/latest",
        "http://169.254.170.2/v2/credentials",
        "http://[fd00:ec2::254]/latest",
        "http://[::ffff:169.254.169.254]/latest",
        "http://metadata.google.internal/computeMetadata/v1",
        "http://Metadata.Google.Internal./computeMetadata/v1",
    ] {
        assert_eq!(chosen(ALL, target), None, "{target}");
    }
    for target in ["http://169.253.1.1/", "http://[fd00:ec3::1]/", "http://x.metadata.google.test/"]
    {
        assert!(chosen(ALL, target).is_some(), "{target}");
    }
}

#[test]
fn a_variable_that_cannot_be_used_is_named() {
    for (variables, name) in [
        ([("HTTPS_PROXY", "socks5://p:1")], "HTTPS_PROXY"),
        ([("http_proxy", "http://p:x")], "http_proxy"),
        ([("ALL_PROXY", "http://a b")], "ALL_PROXY"),
    ] {
        let wrong = Proxies::from_environment(&environment(&variables));
        assert_eq!(wrong.expect_err("refused").name, name);
    }
}
