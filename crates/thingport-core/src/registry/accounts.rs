//! Tenants, customers and people (REST API sections 4 to 6).

mod customers;
mod login;
mod tenant_profiles;
mod tenants;
mod users;

pub use customers::CustomerDraft;
pub use tenant_profiles::TenantProfileDraft;
pub use tenants::TenantDraft;
pub use users::UserDraft;
