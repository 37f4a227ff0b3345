//! What a request for a log asks for: `PodLogOptions` as query parameters, read and checked as the kubelet does.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So many seconds before now; at least one.
    Seconds(i64),
    /// From a moment on.
    Time(Timestamp),
}

impl Since {
    /// The moment that is meant.
    pub fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Time(time) => time,
            // Before the beginning of time: everything is meant.
            Self::Seconds(seconds) => now
                .checked_sub(SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MIN),
        }
    }
}

/// A request for a log, all of whose values can be honoured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Go on until the container ends.
    pub follow: bool,
    /// The run before.
    pub previous: bool,
    /// A time before each line.
    pub timestamps: bool,
    /// From when on.
    pub since: Option<Since>,
    /// The last so many lines; 0 is none.
    pub tail_lines: Option<u64>,
    /// At most so many bytes of answer; at least one.
    pub limit_bytes: Option<u64>,
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadQuery {
    /// A value is not of its type.
    Undecodable,
    /// A value is out of its range, or two exclude each other.
    Invalid,
    /// One of the two streams alone.
    Stream(String),
}

impl BadQuery {
    /// The status and the words of the answer.
    pub fn answer(&self) -> (StatusCode, String) {
        match self {
            Self::Undecodable => (
                StatusCode::BAD_REQUEST,
                r#"{"message": "Unable to decode query."}"#.to_owned(),
            ),
            Self::Invalid => (
                StatusCode::UNPROCESSABLE_ENTITY,
                r#"{"message": "Invalid request."}"#.to_owned(),
            ),
            Self::Stream(stream) => (
                StatusCode::BAD_REQUEST,
                format!(
                    "unable to return the given log stream: {stream:?}: standard output and standard error of a container are kept in one log here"
                ),
            ),
        }
    }
}

impl LogQuery {
    /// Reads a query as it was sent, without the question mark. Unknown parameters are passed over, and of a parameter
    /// that is there twice the first counts, as in Go.
    ///
    /// # Errors
    /// See [`BadQuery`].
    pub fn parse(query: &str) -> Result<Self, BadQuery> {
        let parameters: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let get = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_ref())
        };
        let flag = |name: &str| get(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"));
        let number = |value: Option<&str>| {
            value
                .map(|text| text.parse::<i64>().map_err(|_| BadQuery::Undecodable))
                .transpose()
        };
        // The name that `tailLines` had before.
        let tail = match get("tail") {
            None | Some("") => get("tailLines"),
            Some("all") => None,
            tail => tail,
        };
        let tail_lines = number(tail)?;
        let limit_bytes = number(get("limitBytes"))?;
        let since_seconds = number(get("sinceSeconds"))?;
        let since_time = get("sinceTime").map(time).transpose()?;
        let stream = get("stream").filter(|stream| !stream.is_empty());

        let since = match (since_seconds, since_time) {
            (Some(_), Some(_)) => return Err(BadQuery::Invalid),
            (Some(..1), None) => return Err(BadQuery::Invalid),
            (Some(seconds), None) => Some(Since::Seconds(seconds)),
            (None, time) => time.map(Since::Time),
        };
        let bounded = |value: Option<i64>, least: u64| {
            let in_range = |value: i64| u64::try_from(value).ok().filter(|value| *value >= least);
            value.map(|value| in_range(value).ok_or(BadQuery::Invalid)).transpose()
        };
        let query = Self {
            follow: flag("follow"),
            previous: flag("previous"),
            timestamps: flag("timestamps"),
            since,
            tail_lines: bounded(tail_lines, 0)?,
            limit_bytes: bounded(limit_bytes, 1)?,
        };
        match stream {
            None | Some("All") => Ok(query),
            Some("Stdout" | "Stderr") if tail_lines.is_some() => Err(BadQuery::Invalid),
            Some(stream @ ("Stdout" | "Stderr")) => Err(BadQuery::Stream(stream.to_owned())),
            Some(_) => Err(BadQuery::Invalid),
        }
    }
}

/// RFC 3339; nothing and `null` are the beginning of time, as old clients send them.
fn time(text: &str) -> Result<Timestamp, BadQuery> {
    match text {
        "" | "null" => Ok(Timestamp::MIN),
        text => text.parse().map_err(|_| BadQuery::Undecodable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_can_be_asked_for_is_read() {
        let default = LogQuery::default();
        let noon: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let time = |time| LogQuery {
            since: Some(Since::Time(time)),
            ..default
        };
        let tail = |lines| LogQuery {
            tail_lines: Some(lines),
            ..default
        };
        for (query, expected) in [
            ("", default),
            ("unknown=1&container=c&insecureSkipTLSVerifyBackend=true", default),
            (
                "follow=true",
                LogQuery {
                    follow: true,
                    ..default
                },
            ),
            (
                "follow",
                LogQuery {
                    follow: true,
                    ..default
                },
            ),
            ("follow=FALSE&previous=0&timestamps=False", default),
            (
                "previous=yes&timestamps=1",
                LogQuery {
                    previous: true,
                    timestamps: true,
                    ..default
                },
            ),
            ("tailLines=0", tail(0)),
            ("tailLines=%2B5", tail(5)),
            ("tailLines=1&tailLines=2", tail(1)),
            ("tail=7&tailLines=1", tail(7)),
            ("tail=all&tailLines=1", default),
            ("tail=&tailLines=1", tail(1)),
            (
                "limitBytes=1",
                LogQuery {
                    limit_bytes: Some(1),
                    ..default
                },
            ),
            (
                "sinceSeconds=5",
                LogQuery {
                    since: Some(Since::Seconds(5)),
                    ..default
                },
            ),
            ("sinceTime=2026-01-02T12%3A00%3A00Z", time(noon)),
            ("sinceTime=2026-01-02T13:00:00%2B01:00", time(noon)),
            ("sinceTime=", time(Timestamp::MIN)),
            ("sinceTime=null", time(Timestamp::MIN)),
            ("stream=All&tailLines=1", tail(1)),
            ("stream=", default),
        ] {
            assert_eq!(LogQuery::parse(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn what_is_not_of_its_type_is_a_bad_request() {
        for query in [
            "tailLines=",
            "tailLines=x",
            "tailLines=1.5",
            "tailLines=9223372036854775808",
            "tail=x",
            "limitBytes=1k",
            "sinceSeconds=5s",
            "sinceTime=yesterday",
            "sinceTime=2026-01-02",
        ] {
            assert_eq!(LogQuery::parse(query), Err(BadQuery::Undecodable), "{query}");
        }
        assert_eq!(BadQuery::Undecodable.answer().0, 400);
    }

    #[test]
    fn what_is_out_of_range_is_not_processed() {
        for query in [
            "tailLines=-1",
            "limitBytes=0",
            "limitBytes=-1",
            "sinceSeconds=0",
            "sinceSeconds=-3",
            "sinceSeconds=1&sinceTime=2026-01-02T12:00:00Z",
            "sinceSeconds=1&sinceTime=",
            "stream=stdout",
            "stream=Stdout&tailLines=1",
        ] {
            assert_eq!(LogQuery::parse(query), Err(BadQuery::Invalid), "{query}");
        }
        assert_eq!(BadQuery::Invalid.answer().0, 422);
    }

    #[test]
    fn one_stream_alone_is_refused_with_the_reason() {
        let bad = LogQuery::parse("stream=Stderr").unwrap_err();
        let (status, words) = bad.answer();
        assert_eq!(status, 400);
        assert!(words.contains("\"Stderr\"") && words.contains("one log"), "{words}");
    }

    #[test]
    fn seconds_count_back_from_now_and_no_further_than_time_goes() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        assert_eq!(Since::Seconds(60).moment(now).as_second(), now.as_second() - 60);
        assert_eq!(Since::Seconds(i64::MAX).moment(now), Timestamp::MIN);
    }

    proptest! {
        #[test]
        fn no_query_is_too_strange(query in ".{0,60}") {
            let _ = LogQuery::parse(&query);
        }

        #[test]
        fn no_value_is_too_strange(
            name in "tail|tailLines|limitBytes|sinceSeconds|sinceTime|stream|follow",
            value in "[-+0-9TZ:.%a-fA-F]{0,25}",
        ) {
            let now = Timestamp::UNIX_EPOCH;
            if let Ok(LogQuery { since: Some(since), .. }) = LogQuery::parse(&format!("{name}={value}")) {
                since.moment(now);
            }
        }
    }
}
