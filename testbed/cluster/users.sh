#!/bin/sh
# Runs once, while the image is built: the accounts of the cluster. Each has another login shell or start-up file.
useradd -m -u 2001 -s /bin/bash alice
useradd -m -u 2002 -s /bin/bash bob
useradd -m -u 2003 -s /bin/tcsh carol
useradd -m -u 2004 -s /usr/bin/fish dave
first=100000
for user in alice bob carol dave; do
    usermod -p '*' "$user" # no password, but not locked: sshd lets keys in
    chmod 700 "/home/$user"
    sed -i "/^$user:/d" /etc/subuid /etc/subgid
    echo "$user:$first:65536" | tee -a /etc/subuid >>/etc/subgid
    first=$((first + 65536))
done
# A site's banner, before anything that looks whether the shell is interactive: what is read from a command's output has
# to be found behind it.
{
    printf 'echo "*** Welcome to the testbed. Maintenance every second Tuesday. ***"\n'
    printf 'echo "*** Your quota: 98 %% used ***" >&2\n'
    cat /home/alice/.bashrc
} >/home/alice/.bashrc.new
mv /home/alice/.bashrc.new /home/alice/.bashrc
chown alice:alice /home/alice/.bashrc
