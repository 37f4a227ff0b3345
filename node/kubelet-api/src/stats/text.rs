//! The text format of metrics, version 0.0.4, with the times of samples, which the library of our own metrics cannot write.

use std::fmt::Write;

use towline_core::usage::{BOUNDS_MS, Durations};

/// Metrics as text.
#[derive(Default)]
pub struct Text(String);

/// One value: its labels, itself, and when it was so (milliseconds since 1970), if that was not just now.
pub type Sample<'a> = (Vec<(&'static str, &'a str)>, f64, Option<i64>);

impl Text {
    /// A metric with all its values. Without any there is no metric.
    pub fn metric<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a>>,
    ) -> &mut Self {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_some() {
            self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
        for (labels, value, time_ms) in samples {
            self.write(format_args!("{name}"));
            for (n, (label, text)) in labels.iter().enumerate() {
                let before = if n == 0 { '{' } else { ',' };
                self.write(format_args!("{before}{label}=\"{}\"", escaped(text)));
            }
            let after = if labels.is_empty() { "" } else { "}" };
            self.write(format_args!("{after} {value}"));
            if let Some(time_ms) = time_ms {
                self.write(format_args!(" {time_ms}"));
            }
            self.0.push('\n');
        }
        self
    }

    /// A histogram of durations, in seconds.
    pub fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, &'a Durations)>,
    ) -> &mut Self {
        let mut title = format!("# HELP {name} {help}\n# TYPE {name} histogram\n");
        let ends = BOUNDS_MS.iter().map(|ms| (*ms as f64 / 1e3).to_string());
        let ends: Vec<String> = ends.chain(["+Inf".to_owned()]).collect();
        for (labels, durations) in samples {
            self.write(format_args!("{}", std::mem::take(&mut title)));
            let labels: String = labels
                .iter()
                .map(|(label, text)| format!("{label}=\"{}\",", escaped(text)))
                .collect();
            let mut within = 0;
            for (end, count) in ends.iter().zip(durations.counts) {
                within += count;
                self.write(format_args!("{name}_bucket{{{labels}le=\"{end}\"}} {within}\n"));
            }
            let (labels, sum) = (labels.trim_end_matches(','), durations.sum_ms as f64 / 1e3);
            self.write(format_args!(
                "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {within}\n"
            ));
        }
        self
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(what);
    }

    /// The text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Nanoseconds as seconds.
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_labels_and_times_and_no_value_is_no_metric() {
        let mut text = Text::default();
        text.metric(
            "a_total",
            "counter",
            "Words.",
            [
                (vec![("x", "1\"\\\n"), ("y", "")], 0.25, Some(1_700_000_000_500)),
                (vec![], 1e15, None),
            ],
        )
        .metric("none", "gauge", "Nothing.", []);
        assert_eq!(
            text.finish(),
            "# HELP a_total Words.\n# TYPE a_total counter\na_total{x=\"1\\\"\\\\\\n\",y=\"\"} 0.25 1700000000500\na_total 1000000000000000\n"
        );
    }
}
