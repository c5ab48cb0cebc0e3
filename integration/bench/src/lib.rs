//! What both benchmarks need: quantiles, markdown tables and plots.

pub mod plot;
pub mod quantile;
pub mod table;
