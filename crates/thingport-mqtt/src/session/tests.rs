//! Promises of the session that are not about bytes.

use std::sync::Arc;

use super::*;
