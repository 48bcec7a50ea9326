#!/bin/sh
# Writes docs/burn.svg: a burn on a simulated card, as the program printed it.
#
#   cargo build && docs/burn.sh target/debug/cx3flash > docs/burn.svg
#
# The time in the backup's name is replaced, so that two runs give the same picture. A test compares the file with a
# fresh run.
set -eu
program=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export XDG_STATE_HOME="$dir/state" COLUMNS=100
unset CX3FLASH_DEVICE CX3FLASH_BACKUP_DIR CX3FLASH_LOG_DATA

"$program" sim create card.cx3 --board mcx312b >/dev/null
"$program" sim image fw.bin --like mcx312b-2.42.5000 >/dev/null
"$program" -d sim:card.cx3 burn fw.bin --yes --backup-dir backups >result 2>progress

{
    echo '$ cx3flash -d sim:card.cx3 burn fw.bin --yes --backup-dir backups'
    sed '/^backup /,$d' result
    cat progress
    sed -n '/^backup /,$p' result
} | sed -E 's/[0-9]{8}T[0-9]{6}Z/20260101T120000Z/; s/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g' >lines

awk -v count="$(wc -l <lines)" '
    BEGIN {
        height = count * 18 + 32
        printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"%d\" viewBox=\"0 0 860 %d\">\n", height, height
        printf "<title>A burn on a simulated ConnectX-3 Pro</title>\n"
        printf "<rect width=\"860\" height=\"%d\" rx=\"6\" fill=\"#1c1f24\"/>\n", height
        print "<g font-family=\"ui-monospace, DejaVu Sans Mono, monospace\" font-size=\"13\" fill=\"#d6dae0\" style=\"white-space: pre\" xml:space=\"preserve\">"
    }
    {
        colour = ""
        if (/^\$/) colour = " fill=\"#8fd694\""
        else if (/^!/) colour = " fill=\"#7fb4ff\""
        printf "<text x=\"16\" y=\"%d\"%s>%s</text>\n", NR * 18 + 12, colour, $0
    }
    END { print "</g>\n</svg>" }
' lines
