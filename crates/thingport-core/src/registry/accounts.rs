//! Tenants, customers and people (REST API sections 2 and 4 to 6).

mod customers;
mod key_cache;
mod keys;
mod login;
mod tenant_profiles;
mod tenants;
mod users;

pub use customers::CustomerDraft;
pub(super) use key_cache::KeyCache;
pub use keys::ApiKeyDraft;
pub use tenant_profiles::TenantProfileDraft;
pub use tenants::TenantDraft;
pub use users::UserDraft;
