//! The page as files in the binary: TypeScript under `ui/`, built by npm when this crate is built.
//!
//! It is a crate of its own so that nothing else is built anew when the page changes, and the page not
//! when something else does. It knows no HTTP: who serves a [`File`] decides about headers.

#![warn(missing_docs)]

/// One file of the page.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Path as a browser asks for it, from `/`.
    pub path: &'static str,
    /// Media type.
    pub kind: &'static str,
    /// Changes with the bytes; in quotes, as an entity tag.
    pub mark: &'static str,
    /// What it contains.
    pub bytes: &'static [u8],
    /// The same compressed, where that is smaller.
    pub gzip: Option<&'static [u8]>,
}

impl File {
    /// Whether the name changes with the content, so that it may be kept for ever.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.path.starts_with("/assets/")
    }
}

/// The file at a path; none when there is no such file.
#[must_use]
pub fn find(path: &str) -> Option<&'static File> {
    FILES.binary_search_by(|file| file.path.cmp(path)).ok().and_then(|at| FILES.get(at))
}

/// The page itself, which every screen begins with; none when this build has no page.
#[must_use]
pub fn index() -> Option<&'static File> {
    find("/index.html")
}

/// Sorted by path.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's promise: what a first visit loads stays below 120 KiB compressed.
    const FIRST_LOAD_MAX: usize = 120 * 1024;

    #[test]
    fn files_are_sorted_and_found_by_their_path() {
        assert!(FILES.is_sorted_by_key(|file| file.path));
        for file in FILES {
            assert_eq!(find(file.path).map(|found| found.mark), Some(file.mark));
        }
        assert!(find("/nothing.js").is_none());
    }

    #[test]
    fn the_page_carries_no_inline_script_or_style_and_names_no_other_host() {
        let Some(index) = index() else { return };
        let text = std::str::from_utf8(index.bytes).unwrap();
        assert!(!text.contains("http://") && !text.contains("https://"), "{text}");
        assert!(!text.contains("<style") && !text.contains("<script>"), "{text}");
    }

    #[test]
    fn a_first_visit_is_small() {
        let Some(index) = index() else { return };
        let text = std::str::from_utf8(index.bytes).unwrap();
        let loaded = FILES.iter().filter(|file| text.contains(file.path));
        let size: usize = loaded.map(|file| file.gzip.map_or(file.bytes.len(), <[u8]>::len)).sum();
        assert!(size < FIRST_LOAD_MAX, "{size} bytes");
    }
}
