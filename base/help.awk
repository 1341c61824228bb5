# Prints what `make help` says, from the makefiles: lines that begin with "## " are the
# text of the target or the variable below them, "##@ " begins a group of targets.

function flush_group() {
	if (targets != "") printf "%s%s%s", separator, group == "" ? "" : group ":\n", targets
	if (targets != "") separator = "\n"
	targets = ""
}

# entry is a name and its text; the lines after the first stand below it.
function entry(name, text,    lines, count, i, result) {
	count = split(text, lines, "\n")
	result = sprintf("  %-20s %s\n", name, lines[1])
	if (length(name) > 20) result = sprintf("  %s\n%23s%s\n", name, "", lines[1])
	for (i = 2; i <= count; i++) result = result sprintf("%23s%s\n", "", lines[i])
	return result
}

/^##@ / { flush_group(); group = substr($0, 5); text = ""; next }
/^## /  { text = text (text == "" ? "" : "\n") substr($0, 4); next }
/^#/    { next }
text != "" && match($0, /^(export )?[A-Z][A-Z0-9_]* \?=/) {
	name = $0
	sub(/^export /, "", name)
	sub(/ \?=.*/, "", name)
	variables = variables entry(name, text)
}
text != "" && match($0, /^[a-z][a-z0-9_ -]*:([^=]|$)/) {
	name = $0
	sub(/:.*/, "", name)
	targets = targets entry(name, text)
}
{ text = "" }
END { flush_group(); printf "%sVariables, on make's command line or in the environment:\n%s", separator, variables }
