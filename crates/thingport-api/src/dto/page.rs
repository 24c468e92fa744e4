//! One page of rows (REST API 1.5).

use serde::Serialize;
use thingport_model::page::{Page, PageLink};
use utoipa::ToSchema;

/// One page of rows and how many there are in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageBody<T> {
    /// The rows of this page.
    data: Vec<T>,
    /// Pages of this size in all.
    total_pages: u64,
    /// Rows on all pages.
    total_elements: u64,
    /// Whether there is a page behind this one.
    has_next: bool,
}

impl<T> PageBody<T> {
    /// The answer to `link`.
    pub(crate) fn of<M>(page: Page<M>, link: &PageLink, body: impl FnMut(M) -> T) -> Self {
        let total_pages = page.total.div_ceil(u64::from(link.size.max(1)));
        Self {
            data: page.rows.into_iter().map(body).collect(),
            total_pages,
            total_elements: page.total,
            // A page behind the end has no rows and no next page (G-45).
            has_next: u64::from(link.page) + 1 < total_pages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_has_next_follow_the_rows() {
        let rows = [(0, 10, 0, 0, false), (0, 10, 10, 1, false), (0, 10, 11, 2, true)];
        let behind = [(1, 10, 11, 2, false), (7, 10, 11, 2, false)];
        for (page, size, total, pages, has_next) in rows.into_iter().chain(behind) {
            let link = PageLink { page, size, text_search: None, sort: None };
            let body = PageBody::of(Page { rows: vec![1_u8], total }, &link, |row| row);
            let got = (body.total_pages, body.total_elements, body.has_next);
            assert_eq!(got, (pages, total, has_next), "page {page} of {total}");
        }
    }
}
