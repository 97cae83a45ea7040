//! Formats that people hold already, each decoded as its page says: see the constructors of [`Weights`](super::Weights).

mod blocks;
mod bytes;
mod half;
mod int8;
mod nested;
