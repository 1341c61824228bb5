#!/bin/sh
# Prints the directory of the board: board/coreos or, if BR2_COREOS_BOARD in the
# configuration names another board, a copy of it with the files of that board over it.
# Buildroot sets BR2_CONFIG and BUILD_DIR.
set -eu

boards=$(dirname "$(realpath "$0")")
board=$(sed -n 's/^BR2_COREOS_BOARD="\(.*\)"$/\1/p' "$BR2_CONFIG")
case $board in
'' | coreos)
	echo "$boards/coreos"
	exit
	;;
*/* | .*)
	echo "error: BR2_COREOS_BOARD=\"$board\" is not the name of a directory in $boards" >&2
	exit 1
	;;
esac
if [ ! -d "$boards/$board" ]; then
	echo "error: BR2_COREOS_BOARD=\"$board\": there is no $boards/$board" >&2
	exit 1
fi
rm -rf "$BUILD_DIR/board"
mkdir -p "$BUILD_DIR/board"
cp -R "$boards/coreos/." "$boards/$board/." "$BUILD_DIR/board/"
echo "$BUILD_DIR/board"
