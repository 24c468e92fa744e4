//! Pages of rows (REST API 1.5).

/// Which page of which rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageLink {
    /// Page number from 0.
    pub page: u32,
    /// Rows per page, 1 to 10,000.
    pub size: u32,
    /// Case-insensitive "contains" on the name-like columns; `%` and `_` have no special meaning (G-40).
    pub text_search: Option<String>,
    /// Order; ties and the absence of an order go by id ascending (G-41).
    pub sort: Option<Sort>,
}

/// Order of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// ThingsBoard's name of the property, such as `createdTime`.
    pub property: String,
    /// Largest first.
    pub descending: bool,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows of this page.
    pub rows: Vec<T>,
    /// Rows on all pages.
    pub total: u64,
}
