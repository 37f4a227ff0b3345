//! Sizes of a terminal on their way to a batch system that loses some.

use std::time::Duration;

use tokio::sync::watch;
use towline_ssh::Size;

/// Between changes, at least. `srun --pty` forgets a change that comes while it still passes on the one before (its flag is
/// cleared behind the work), and a client that attaches sends two at once to have everything drawn anew.
const APART: Duration = Duration::from_millis(100);

/// A sender whose last size reaches `to`, changes being apart.
pub(super) fn paced(to: watch::Sender<Size>) -> watch::Sender<Size> {
    let (sender, mut sizes) = watch::channel(*to.borrow());
    tokio::spawn(async move {
        while sizes.changed().await.is_ok() {
            tokio::time::sleep(APART).await;
            to.send_replace(*sizes.borrow_and_update());
        }
    });
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_changes_in_quick_succession_the_last_one_arrives() {
        let (to, mut arrived) = watch::channel(Size::default());
        let size = |columns| Size { columns, rows: 33 };
        let sender = paced(to);
        sender.send_replace(size(78));
        sender.send_replace(size(77));
        arrived.changed().await.unwrap();
        assert_eq!(*arrived.borrow_and_update(), size(77));
        sender.send_replace(size(60));
        drop(sender);
        arrived.changed().await.unwrap();
        assert_eq!(*arrived.borrow_and_update(), size(60));
        assert!(arrived.changed().await.is_err(), "nothing else");
    }
}
