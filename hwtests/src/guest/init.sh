#!/usr/bin/dash
# The guest's first and only process: mounts, then runs the commands that arrive on a virtio-serial port.
# One line each way. In: time limit in seconds, a space, the command in base64. Out: exit code, a space, standard output
# in base64, a space, standard error in base64. guest/agent.rs holds the other end.
export PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C TERM=dumb
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t securityfs sec /sys/kernel/security
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
ip link set lo up
port=
for name in /sys/class/virtio-ports/*/name; do
    if [ "$(cat "$name")" = lab ]; then
        port=${name%/name}
        port=/dev/${port##*/}
    fi
done
# A second port, whose only use is to say when: kill points wait for a line on it.
for name in /sys/class/virtio-ports/*/name; do
    if [ "$(cat "$name")" = when ]; then
        when=${name%/name}
        ln -s "/dev/${when##*/}" /run/when
    fi
done
exec 3<>"$port"
echo ready >&3
while read -r limit line <&3; do
    echo "$line" | base64 -d >/run/agent.sh
    # By its path: busybox would run its own shell, and in that its own modprobe, setpriv and ip.
    timeout -s KILL "$limit" /usr/bin/dash /run/agent.sh </dev/null >/run/agent.out 2>/run/agent.err 3>&-
    code=$?
    echo "$code $(base64 -w 0 /run/agent.out) $(base64 -w 0 /run/agent.err)" >&3
done
echo "the agent's port is gone" >/dev/console
poweroff -f
