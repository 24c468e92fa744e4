//! Case-insensitive "contains" (REST API G-40): one rule for the column, the pattern and the memory
//! engine.

/// The lower-case text in which the words of an entity are looked for. The separator keeps a search
/// from matching across two words.
pub(super) fn searchable<'a>(words: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let words: Vec<String> = words.into_iter().flatten().map(str::to_lowercase).collect();
    words.join(SEPARATOR)
}

/// The LIKE pattern, with escape character backslash, for a searched text; none when all is wanted.
pub(super) fn pattern(searched: Option<&str>) -> Option<String> {
    let searched = searched.filter(|text| !text.is_empty())?;
    let mut pattern = String::from("%");
    for letter in searched.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    Some(pattern)
}

/// Whether a text made by [`searchable`] contains what is searched.
pub(super) fn contains(search: &str, searched: Option<&str>) -> bool {
    searched.is_none_or(|text| search.contains(&text.to_lowercase()))
}

const SEPARATOR: &str = "\u{1f}";
