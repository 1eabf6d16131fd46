//! Tables of cases that name their tests: what they name must be there.

/// Files and functions.
pub(crate) type Tests = &'static [(&'static str, &'static str)];

/// Fails unless each of `tests`, those of the case `what`, is a test.
pub(crate) fn assert_are_there(what: &str, tests: Tests) {
    assert!(!what.is_empty() && !tests.is_empty(), "{what}");
    for (file, name) in tests {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let at = text.find(&format!("fn {name}()"));
        let at = at.unwrap_or_else(|| panic!("{what}: no {name} in {file}"));
        let before = text[..at].trim_end().lines().rev().take(4);
        let is_test = before.into_iter().any(|line| line.trim() == "#[test]");
        assert!(is_test, "{what}: {name} is no test");
    }
}
