//! Which ciphers are asked for, in which order. The first that the host has as well is used.

use russh::cipher::{AES_128_CTR, AES_128_GCM, AES_192_CTR, AES_256_CTR, AES_256_GCM, CHACHA20_POLY1305, Name};

/// Where the processor has instructions for it, AES costs both sides a fraction of what ChaCha20 does; where it has none,
/// it is the other way round.
pub fn preferred() -> Vec<Name> {
    in_order(processor_has_aes())
}

fn in_order(aes: bool) -> Vec<Name> {
    let mut order = vec![AES_128_GCM, AES_256_GCM];
    order.insert(if aes { order.len() } else { 0 }, CHACHA20_POLY1305);
    order.extend([AES_256_CTR, AES_192_CTR, AES_128_CTR]);
    order
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn processor_has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn processor_has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn processor_has_aes() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_library_offers_by_itself_stays_on_offer_and_authenticated_ones_come_first() {
        let default = russh::Preferred::DEFAULT.cipher;
        for aes in [true, false] {
            let order = in_order(aes);
            for cipher in default.iter() {
                assert!(order.contains(cipher), "{cipher:?}");
            }
            assert!(order[..3].contains(&CHACHA20_POLY1305));
            assert_eq!(order[0] == CHACHA20_POLY1305, !aes);
            assert_eq!(
                order.iter().collect::<std::collections::HashSet<_>>().len(),
                order.len()
            );
        }
    }
}
