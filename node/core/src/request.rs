//! What a batch system is asked for, typed and free of any vendor's syntax: the file `request`.

use crate::words::{self, Unrepresentable};

/// A value that may stand in a request: a strict set of characters, never beginning with a dash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Checks a text.
    ///
    /// # Errors
    /// It has a character outside of `[A-Za-z0-9_.,:@+/=&|()*-]`, begins with `-`, is empty or longer than 256 bytes.
    pub fn new(what: &str, text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.,:@+/=&|()*-".contains(&b);
        if (1..=256).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "{what} {:?} cannot be given to a batch system: use up to 256 of A-Z a-z 0-9 _ . , : @ + / = & | ( ) * - and no dash first",
                words::excerpt(text)
            ))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The file `request` of a pod's directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The job's name.
    pub job_name: String,
    /// Partition (queue).
    pub partition: Option<Token>,
    /// Account (project) that pays.
    pub account: Option<Token>,
    /// Quality of service.
    pub qos: Option<Token>,
    /// Features that the node must have.
    pub constraint: Option<Token>,
    /// Reservation.
    pub reservation: Option<Token>,
    /// Nodes.
    pub nodes: u64,
    /// Tasks of all nodes together.
    pub tasks: u64,
    /// CPUs of each task, whole ones.
    pub cpus: u64,
    /// Memory of each node in MiB.
    pub memory_mb: u64,
    /// GPUs of each node.
    pub gpus: u64,
    /// The batch system's word for the kind of GPU.
    pub gpu_type: Option<Token>,
    /// Generic resources beside those GPUs.
    pub gres: Option<Token>,
    /// Jobs to wait for.
    pub dependency: Option<Token>,
    /// Licenses.
    pub licenses: Option<Token>,
    /// Who gets mail.
    pub mail_user: Option<Token>,
    /// About what.
    pub mail_type: Option<Token>,
    /// A compute node that no other job shares.
    pub exclusive: bool,
    /// The job's comment.
    pub comment: Option<Token>,
    /// How ranks find each other.
    pub mpi: Option<Token>,
    /// Walltime in seconds; `None` leaves it to the partition.
    pub walltime_s: Option<u64>,
    /// How long before the walltime the pod is told to end, seconds.
    pub signal_s: u64,
}

impl Request {
    /// The file's content.
    ///
    /// # Errors
    /// Never for values made by [`Token::new`]; the type of [`words::pairs`] is passed on.
    pub fn encode(&self) -> Result<Vec<u8>, Unrepresentable> {
        let token = |key, token: &Option<Token>| token.as_ref().map(|token| (key, token.as_str().to_owned()));
        let number = |key, value: u64| Some((key, value.to_string()));
        words::pairs(
            [
                Some(("job_name", self.job_name.clone())),
                token("partition", &self.partition),
                token("account", &self.account),
                token("qos", &self.qos),
                token("constraint", &self.constraint),
                token("reservation", &self.reservation),
                number("nodes", self.nodes.max(1)),
                number("tasks", self.tasks).filter(|_| self.tasks > 1),
                number("cpus", self.cpus),
                number("memory_mb", self.memory_mb),
                number("gpus", self.gpus).filter(|_| self.gpus > 0),
                token("gpu_type", &self.gpu_type).filter(|_| self.gpus > 0),
                token("gres", &self.gres),
                token("dependency", &self.dependency),
                token("licenses", &self.licenses),
                token("mail_user", &self.mail_user),
                token("mail_type", &self.mail_type),
                number("exclusive", 1).filter(|_| self.exclusive),
                token("comment", &self.comment),
                token("mpi", &self.mpi),
                self.walltime_s.and_then(|seconds| number("walltime_s", seconds)),
                number("signal_s", self.signal_s),
            ]
            .into_iter()
            .flatten(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_strict_set_of_characters_reaches_a_batch_system() {
        assert!(Token::new("partition", "gpu_a100,long").is_ok());
        assert!(Token::new("constraint", "(skylake|haswell)&nvme*2").is_ok());
        for bad in ["", "-p", "a b", "a;b", "$(x)", "a\nb", "a'b", "ä", &"x".repeat(257)] {
            assert!(Token::new("partition", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_written() {
        let request = Request {
            job_name: "j".into(),
            cpus: 2,
            memory_mb: 100,
            ..Request::default()
        };
        let text = String::from_utf8(request.encode().unwrap()).unwrap();
        assert_eq!(text, "job_name=j\nnodes=1\ncpus=2\nmemory_mb=100\nsignal_s=0\n");
    }
}
