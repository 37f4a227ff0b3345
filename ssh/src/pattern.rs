//! The patterns of OpenSSH's files: `*` and `?`, and lists in which a negated match ends the search.

/// Whether a text fits a pattern of `*` (anything) and `?` (one character).
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: that star takes one character more.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    p = after;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether a text fits one of the patterns and none of the negated ones (`!pattern`), wherever they stand.
pub fn fits_any<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if fits(negated, text) => return false,
            Some(_) => {}
            None => found |= fits(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks_fit_as_in_openssh() {
        assert!(fits("*.site.org", "login.site.org") && !fits("*.site.org", "site.org"));
        assert!(fits("login?", "login1") && !fits("login?", "login") && !fits("login?", "login12"));
        assert!(fits("*a*b", "xaxxb") && !fits("*a*b", "xaxxbx"));
        assert!(fits("*", "") && fits("", "") && !fits("", "x"));
    }

    #[test]
    fn a_negated_match_wins_wherever_it_stands() {
        assert!(fits_any(["*.org", "!bad.org"], "good.org"));
        assert!(!fits_any(["*.org", "!bad.org"], "bad.org"));
        assert!(
            !fits_any(["!bad.org"], "good.org"),
            "nothing but negations matches nothing"
        );
    }

    proptest! {
        #[test]
        fn a_text_fits_itself_with_any_part_replaced_by_a_star(text in "[a-z.]{0,20}", from in 0usize..20, to in 0usize..20) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            if from <= to {
                let pattern = format!("{}*{}", &text[..from], &text[to..]);
                prop_assert!(fits(&pattern, &text));
            }
        }
    }
}
