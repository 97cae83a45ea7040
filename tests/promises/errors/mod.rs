//! An error names the mistake, and leaves every output untouched.

mod calls;
mod file;
mod split;
mod store;
mod training;
