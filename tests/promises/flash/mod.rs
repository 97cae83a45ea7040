//! Saving in flash survives the loss of power and drivers that fail.

mod driver;
mod store;
