//! The state of a host that a job must leave as it found it.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::Bench;

/// Named facts of the host and the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(BTreeMap<String, String>);

/// One `key=value` line each. The list is that of docs/linux.md#state-to-keep as far as a host without a network manager has it:
/// netdevs come back down and without addresses, which no tool can promise otherwise.
const SCRIPT: &str = r#"
d=/sys/bus/pci/devices/$BDF
link() { l=$(readlink "$1") && echo "${l##*/}"; }
echo "ids=$(cat $d/vendor):$(cat $d/device)"
echo "driver=$(link $d/driver)"
echo "override=$(cat $d/driver_override)"
echo "group=$(link $d/iommu_group)"
echo "reset_method=$(cat $d/reset_method)"
for p in mlx4_port1 mlx4_port2; do [ -e $d/$p ] && echo "$p=$(cat $d/$p)"; done
for n in $d/net/*; do [ -e $n ] && echo "netdev.${n##*/}=$(cat $n/address) port $(cat $n/dev_port)"; done
for s in $d/iommu_group/devices/*; do echo "group.${s##*/}=$(link $s/driver) $(cat $s/driver_override)"; done
p=/sys/module/mlx4_core/parameters/internal_err_reset
[ -e $p ] && echo "internal_err_reset=$(cat $p)"
for f in /run/cx3flash /var/lib/cx3flash; do
    find $f -type f 2>/dev/null | grep -v -e /backups/ -e /log/ -e /cards/ -e '\.lock$' -e '/lock$' | while read -r x; do echo "left.$x=yes"; done
done
exit 0
"#;

impl State {
    /// Looks at the host.
    ///
    /// # Errors
    ///
    /// When the host does not answer, or has no such card.
    pub fn of(bench: &mut dyn Bench) -> Result<State> {
        let script = format!("BDF={}\n{SCRIPT}", bench.bdf());
        let ran = bench.run(&script, super::LIMIT)?;
        if ran.code != 0 || !ran.stdout.contains("ids=0x15b3") {
            bail!("looking at the host: exit {}: {}", ran.code, ran.all());
        }
        Ok(State::parse(&ran.stdout))
    }

    fn parse(text: &str) -> State {
        State(
            text.lines()
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
                .collect(),
        )
    }

    /// One fact; empty when there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// Names of the card's netdevs.
    #[must_use]
    pub fn netdevs(&self) -> Vec<String> {
        self.0
            .keys()
            .filter_map(|key| key.strip_prefix("netdev."))
            .map(str::to_owned)
            .collect()
    }

    /// What differs, one line each; empty when nothing does.
    #[must_use]
    pub fn differences(&self, later: &State) -> String {
        let keys = self.0.keys().chain(later.0.keys());
        let mut lines: Vec<String> = keys
            .filter(|key| self.0.get(*key) != later.0.get(*key))
            .map(|key| format!("{key}: {:?} became {:?}", self.get(key), later.get(key)))
            .collect();
        lines.sort();
        lines.dedup();
        lines.join("\n")
    }

    /// Fails unless the host is as it was.
    ///
    /// # Errors
    ///
    /// When anything differs; the message names it.
    pub fn must_be_again(&self, bench: &mut dyn Bench) -> Result<()> {
        let differences = self.differences(&State::of(bench)?);
        if !differences.is_empty() {
            bail!("the host is not as it was found:\n{differences}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_came_went_and_changed() {
        let before =
            State::parse("driver=mlx4_core\nnetdev.eth0=00:02:c9:00:00:01 port 0\nsame=1\n");
        let after = State::parse("driver=vfio-pci\nleft./run/x=yes\nsame=1\n");
        assert_eq!(
            before.differences(&after),
            "driver: \"mlx4_core\" became \"vfio-pci\"\nleft./run/x: \"\" became \"yes\"\n\
             netdev.eth0: \"00:02:c9:00:00:01 port 0\" became \"\""
        );
        assert_eq!(before.differences(&before), "");
        assert_eq!(before.netdevs(), ["eth0"]);
    }
}
