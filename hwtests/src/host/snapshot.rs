//! The state of a host that a job must restore.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::TestHost;

/// Properties of the host and the card by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSnapshot(BTreeMap<String, String>);

/// Prints one `key=value` line each: the list of docs/linux.md#state-to-keep as far as a host
/// without a network manager has it. Netdevs come back down and without addresses. By commands of the shell itself:
/// each program it started would cost an emulated processor as much as the rest.
const SCRIPT: &str = r#"
d=/sys/bus/pci/devices/$BDF
text() { x=; [ -e "$1" ] && read -r x <"$1"; }
link() { l=; [ -e "$1" ] && cd -P "$1" && l=${PWD##*/}; }
line() { text "$2"; echo "$1=$x"; }
text $d/vendor; v=$x; text $d/device; echo "ids=$v:$x"
link $d/driver; echo "driver=$l"
line override $d/driver_override
link $d/iommu_group; echo "group=$l"
line reset_method $d/reset_method
for p in mlx4_port1 mlx4_port2; do [ -e $d/$p ] && line $p $d/$p; done
for n in $d/net/*; do [ -e $n ] && text $n/address && a=$x && text $n/dev_port && echo "netdev.${n##*/}=$a port $x"; done
for s in $d/iommu_group/devices/*; do link $s/driver; text $s/driver_override; echo "group.${s##*/}=$l $x"; done
p=/sys/module/mlx4_core/parameters/internal_err_reset
[ -e $p ] && line internal_err_reset $p
left() {
    for f in "$1"/* "$1"/.[!.]*; do
        case $f in
        */backups | */log | */cards | *.lock | *.users) ;;
        *)
            if [ -f "$f" ]; then
                echo "left.$f=yes"
            elif [ -d "$f" ]; then
                left "$f"
            fi
            ;;
        esac
    done
}
left /run/cx3flash
left /var/lib/cx3flash
exit 0
"#;

impl HostSnapshot {
    /// Reads the state of the host; an error when it has no such card.
    pub fn of(host: &mut dyn TestHost) -> Result<HostSnapshot> {
        let script = format!("BDF={}\n{SCRIPT}", host.bdf());
        let output = host.run(&script, super::LIMIT)?;
        if output.code != 0 || !output.stdout.contains("ids=0x15b3") {
            bail!("reading the state of the host: exit {}: {}", output.code, output.all());
        }
        Ok(HostSnapshot::parse(&output.stdout))
    }

    fn parse(text: &str) -> HostSnapshot {
        HostSnapshot(
            text.lines()
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
                .collect(),
        )
    }

    /// One property; empty when there is none.
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// Names of the card's netdevs.
    pub fn netdevs(&self) -> Vec<String> {
        self.0.keys().filter_map(|key| key.strip_prefix("netdev.")).map(str::to_owned).collect()
    }

    /// What differs, one line each; empty when nothing does.
    pub fn differences(&self, later: &HostSnapshot) -> String {
        let keys = self.0.keys().chain(later.0.keys());
        let mut lines: Vec<String> = keys
            .filter(|key| self.0.get(*key) != later.0.get(*key))
            .map(|key| format!("{key}: {:?} became {:?}", self.get(key), later.get(key)))
            .collect();
        lines.sort();
        lines.dedup();
        lines.join("\n")
    }

    /// Fails unless the host is in this state; the message names each difference.
    pub fn assert_unchanged(&self, host: &mut dyn TestHost) -> Result<()> {
        let differences = self.differences(&HostSnapshot::of(host)?);
        if !differences.is_empty() {
            bail!("the host has changed:\n{differences}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_added_removed_and_changed_properties() {
        let before =
            HostSnapshot::parse("driver=mlx4_core\nnetdev.eth0=00:02:c9:00:00:01 port 0\nsame=1\n");
        let after = HostSnapshot::parse("driver=vfio-pci\nleft./run/x=yes\nsame=1\n");
        assert_eq!(
            before.differences(&after),
            "driver: \"mlx4_core\" became \"vfio-pci\"\nleft./run/x: \"\" became \"yes\"\n\
             netdev.eth0: \"00:02:c9:00:00:01 port 0\" became \"\""
        );
        assert_eq!(before.differences(&before), "");
        assert_eq!(before.netdevs(), ["eth0"]);
    }
}
