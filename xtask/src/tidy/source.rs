//! A Rust file made searchable: comments and literals blanked, tests cut off, imports spelled out.

/// One Rust file.
pub(super) struct Source {
    /// Relative to the root of the repository.
    pub(super) path: String,
    /// As it stands on disk.
    pub(super) text: String,
    /// Without comments and literals; same lines.
    pub(super) blanked: String,
    /// The part of `blanked` above the first inline test module; empty for a file of tests.
    pub(super) code: String,
}

impl Source {
    /// Reads `text` as the file at `path`.
    pub(super) fn new(path: String, text: String) -> Self {
        let blanked = blank(&text);
        let is_tests = !path.contains("/src/")
            || path.ends_with("/tests.rs")
            || path.contains("/src/tests/")
            || path.contains("/tests/");
        let end = if is_tests { 0 } else { start_of_tests(&blanked) };
        let code = blanked[..end].to_owned();
        Self { path, text, blanked, code }
    }

    /// Every path imported above the tests, with its line; braces are spelled out.
    pub(super) fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(start) = find_word(&self.code, "use", from) {
            let end = self.code[start..].find(';').map_or(self.code.len(), |at| start + at);
            let tree: String =
                self.code[start + 3..end].split_whitespace().fold(String::new(), |tree, word| {
                    if word == "as" { tree + " " } else { tree + word }
                });
            let line = line_at(&self.code, start);
            spell_out("", &tree, &mut |path| found.push((line, path)));
            from = end;
        }
        found
    }
}

/// One-based line of `offset`.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The next place at or after `from` where `word` stands alone.
pub(super) fn find_word(text: &str, word: &str, from: usize) -> Option<usize> {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let bytes = text.as_bytes();
    let ends_open = !word.ends_with(|c: char| c.is_ascii_alphanumeric());
    text.get(from..)?.match_indices(word).map(|(at, _)| from + at).find(|at| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        !is_part(before) && (ends_open || !is_part(bytes.get(at + word.len())))
    })
}

/// Calls `found` for each path of a `use` tree without spaces: `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn spell_out(prefix: &str, tree: &str, found: &mut impl FnMut(String)) {
    let Some(open) = tree.find('{') else {
        let path = tree.split(' ').next().unwrap_or(tree);
        return found(format!("{prefix}{path}"));
    };
    let inner = &tree[open + 1..];
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let prefix = format!("{prefix}{}", &tree[..open]);
    let mut depth = 0;
    let at_top = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    for part in inner.split(at_top).filter(|part| !part.is_empty()) {
        spell_out_boxed(&prefix, part, found);
    }
}

/// Keeps the recursion of [`spell_out`] to one type.
fn spell_out_boxed(prefix: &str, tree: &str, found: &mut dyn FnMut(String)) {
    spell_out(prefix, tree, &mut |path| found(path));
}

/// Where the first inline `#[cfg(test)] mod` begins; tests stand at the end of a file.
fn start_of_tests(blanked: &str) -> usize {
    blanked
        .match_indices("#[cfg(test)]")
        .map(|(at, mark)| (at, blanked[at + mark.len()..].trim_start()))
        .find(|(_, rest)| {
            let head = rest.split(['{', ';']).next().unwrap_or_default();
            head.split_whitespace().any(|word| word == "mod") && rest[head.len()..].starts_with('{')
        })
        .map_or(blanked.len(), |(at, _)| at)
}

/// `text` with comments and literals replaced by spaces.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let length = literal_or_comment(rest, after_word);
        let (head, tail) = rest.split_at(length.unwrap_or_else(|| first.len_utf8()));
        match length {
            Some(_) => out.extend(head.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => out.push_str(head),
        }
        after_word = length.is_none() && (first.is_alphanumeric() || first == '_');
        rest = tail;
    }
    out
}

/// Length of the comment or literal that `rest` begins with.
fn literal_or_comment(rest: &str, after_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    let raw = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if after_word || !raw[hashes..].starts_with('"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = rest.len() - raw.len() + hashes + 1;
    Some(rest[body..].find(&close).map_or(rest.len(), |at| body + at + close.len()))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a literal between two `quote`s, escapes allowed.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a character literal; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut inner = rest[1..].chars();
    let first = inner.next()?;
    (first == '\\' || inner.next() == Some('\'')).then(|| quoted(rest, '\''))
}
