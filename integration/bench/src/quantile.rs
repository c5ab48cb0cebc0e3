//! The place of a value among others.

/// The value that so large a part of `values` is not above, the nearest of them; NaN if there is none.
pub fn quantile(values: impl IntoIterator<Item = f64>, part: f64) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The middle of `values`; NaN if there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let values = || (1..=11).rev().map(f64::from);
        assert_eq!(median(values()), 6.0);
        assert_eq!(quantile(values(), 0.1), 2.0);
        assert_eq!(quantile(values().chain([f64::NAN]), 1.0), 11.0);
        assert!(median([]).is_nan());
    }
}
