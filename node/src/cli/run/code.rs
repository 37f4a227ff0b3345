//! Exit codes of `towline run` that are not a container's.

/// The pod or its job was lost: nobody knows how it ended.
pub const LOST: u8 = 123;
/// Its time was up: `activeDeadlineSeconds`, or the walltime of the job.
pub const TIME: u8 = 124;
/// Towline could not do its work; nothing is known to have run.
pub const TOWLINE: u8 = 125;
/// It could not be started: refused by the batch system, no such image, no such command.
pub const NOT_STARTED: u8 = 126;
/// It was cancelled (as by Ctrl-C).
pub const CANCELLED: u8 = 130;
/// It was cancelled because this program was terminated.
pub const TERMINATED: u8 = 143;

/// For `--help`.
pub const HELP: &str = "Exit code: that of the container that failed first, 0 if none did, and
  123  the pod or its job was lost    124  its time was up (deadline, walltime)
  125  Towline itself failed          126  it could not be started
  130  cancelled by Ctrl-C            143  cancelled by TERM";
