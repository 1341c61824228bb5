#!/bin/sh
# Usage: check-config.sh FRAGMENT CONFIG
#
# Prints every setting of FRAGMENT (a fragment or a defconfig) that CONFIG, the
# configuration made from it, does not have; exits 1 when there is one. Kconfig
# itself drops a line silently if the option was renamed, a dependency is missing, or a
# later line overrides it.
#
# If FRAGMENT sets an option twice, the last line counts, as in Kconfig.
set -eu

if [ $# -ne 2 ]; then
	echo "usage: ${0##*/} FRAGMENT CONFIG" >&2
	exit 2
fi
for file do
	if [ ! -r "$file" ]; then
		echo "${0##*/}: cannot read $file" >&2
		exit 2
	fi
done

exec awk -v config="$2" '
function fail(why) {
	printf "%s:%d: %s: %s\n", FILENAME, line[i], text[i], why
	failed = 1
}

BEGIN {
	while ((getline row < config) > 0) {
		split(row, part, row ~ /^#/ ? " " : "=")
		if (row ~ /^# [A-Za-z0-9_]+ is not set$/)
			value[part[2]] = "n"
		else if (row !~ /^#/ && row ~ /=/)
			value[part[1]] = substr(row, length(part[1]) + 2)
	}
}

/^# [A-Za-z0-9_]+ is not set[ \t]*$/ { set($2, "n") }
/^[ \t]*(#|$)/ { next }
/^[A-Za-z0-9_]+=/ {
	name = $0
	sub(/=.*/, "", name)
	set(name, substr($0, length(name) + 2))
	next
}
{ line[++count] = FNR; text[count] = $0; symbol[count] = "" }

function set(name, wanted) {
	line[++count] = FNR
	text[count] = $0
	symbol[count] = name
	want[count] = wanted
	last[name] = count
}

END {
	for (i = 1; i <= count; i++) {
		name = symbol[i]
		if (name == "")
			fail("not a setting")
		else if (last[name] != i)
			continue
		else if (!(name in value)) {
			if (want[i] != "n")
				fail("dropped")
		} else if (value[name] != want[i])
			fail("became " value[name])
	}
	exit failed
}
' "$1"
