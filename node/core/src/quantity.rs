//! Kubernetes quantities (`500m`, `1Gi`, `2e3`) as integers, rounded up as the scheduler does.
//!
//! Source: `k8s.io/apimachinery/pkg/api/resource/quantity.go`.

/// Text that is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity (examples: 500m, 2, 1.5Gi)")]
pub struct BadQuantity(pub String);

/// The value in thousandths, rounded up. CPU quantities are read this way (`1` = 1000 millicores).
///
/// # Errors
/// The text is not a quantity, is negative, or does not fit.
pub fn milli(text: &str) -> Result<u64, BadQuantity> {
    scaled(text, 1000)
}

/// The value in whole units, rounded up. Memory (bytes) and counts are read this way.
///
/// # Errors
/// The text is not a quantity, is negative, or does not fit.
pub fn units(text: &str) -> Result<u64, BadQuantity> {
    scaled(text, 1)
}

/// An amount of a resource as admission counts it: `cpu` in millicores, everything else in units.
///
/// # Errors
/// The text is not a quantity, is negative, or does not fit.
pub fn amount(resource: &str, text: &str) -> Result<u64, BadQuantity> {
    if resource == "cpu" { milli(text) } else { units(text) }
}

/// `text` × `scale`, rounded up, in exact integer arithmetic.
fn scaled(text: &str, scale: u128) -> Result<u64, BadQuantity> {
    exact(text.trim(), scale).ok_or_else(|| BadQuantity(text.to_owned()))
}

fn exact(text: &str, scale: u128) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut numerator: u128 = format!("{whole}{fraction}").parse().ok()?;
    let mut denominator = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let (up, down) = factor(suffix)?;
    numerator = numerator.checked_mul(up)?.checked_mul(scale)?;
    denominator = denominator.checked_mul(down)?;
    u64::try_from(numerator.div_ceil(denominator)).ok()
}

/// A suffix as a fraction.
fn factor(suffix: &str) -> Option<(u128, u128)> {
    const UP: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']).filter(|rest| !rest.is_empty()) {
        let exponent: i32 = exponent.parse().ok()?;
        let power = 10u128.checked_pow(exponent.unsigned_abs())?;
        return Some(if exponent < 0 { (1, power) } else { (power, 1) });
    }
    let up = |base: u128, n: usize| Some((base.checked_pow(u32::try_from(n).ok()? + 1)?, 1));
    match suffix {
        "" => Some((1, 1)),
        "m" => Some((1, 1000)),
        "u" => Some((1, 1_000_000)),
        "n" => Some((1, 1_000_000_000)),
        "Ki" => up(1024, 0),
        _ => match suffix.strip_suffix('i') {
            Some(binary) => up(1024, UP.iter().position(|u| *u == binary && *u != "k")?),
            None => up(1000, UP.iter().position(|u| *u == suffix)?),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("1", 1000),
            ("500m", 500),
            ("0.1", 100),
            ("1.5", 1500),
            (".5", 500),
            ("100u", 1),
            ("2e3", 2_000_000),
            ("1e-1", 100),
        ] {
            assert_eq!(milli(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("123Mi", 128_974_848),
            ("1.5Gi", 1_610_612_736),
            ("1E", 1_000_000_000_000_000_000),
            ("500m", 1),
        ] {
            assert_eq!(units(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            ".",
            "1.2.3",
            "-1",
            "1ki",
            "Gi",
            "1 Gi",
            "1e",
            "99999999999999999999",
            "1e99",
        ] {
            assert!(units(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,24}") {
            let _ = (milli(&text), units(&text));
        }
    }
}
