//! Live updates (REST API section 17).

use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    Vec::new()
}
