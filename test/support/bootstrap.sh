#!/bin/sh
# Brings what a fresh Debian or Ubuntu lacks, saying so: npm packages (Node 24 among them), and QEMU, gdb, gcc by apt.
# g++, elfutils and dwz are what the tests compare with.
# Run by `npm run demo` and `npm test` before anything else, under whatever Node and npm are there.
set -eu
cd "$(dirname "$0")/../.."

# npm packages: when absent, or when the lockfile changed since. Not `npm ci`: npm 11 refuses a lockfile that lacks the optional
# builds for other platforms, and a registry mirror without those (seen: biome's, oxc-parser's) makes such lockfiles.
# `install --no-save` takes the same locked versions and writes neither file.
if ! cmp -s package-lock.json node_modules/.unidbg-lock 2>/dev/null; then
  echo "unidbg: installing npm packages as locked, among them Node 24 for the scripts"
  npm install --no-save --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.unidbg-lock
fi

missing=''
command -v qemu-system-x86_64 >/dev/null || missing="$missing qemu-system-x86"
command -v gdb >/dev/null || missing="$missing gdb"
command -v gdbserver >/dev/null || missing="$missing gdbserver"
command -v go >/dev/null || missing="$missing golang-go"
command -v gcc >/dev/null || missing="$missing gcc libc6-dev"
command -v g++ >/dev/null || missing="$missing g++"
command -v readelf >/dev/null || missing="$missing binutils"
command -v eu-addr2line >/dev/null || missing="$missing elfutils"
command -v debuginfod >/dev/null || missing="$missing debuginfod"
command -v xz >/dev/null || missing="$missing xz-utils"
command -v dwz >/dev/null || missing="$missing dwz"
# What only some scripts compare with is named by them.
for extra in "$@"; do
  case "$extra" in
    llvm) command -v llvm-symbolizer >/dev/null || missing="$missing llvm" ;;
    tshark) command -v tshark >/dev/null || missing="$missing tshark" ;;
    prometheus) command -v promtool >/dev/null || missing="$missing prometheus" ;;
    clang) command -v clang++ >/dev/null || missing="$missing clang lld" ;;
    rust) command -v rustc >/dev/null || missing="$missing rustc" ;;
    qemu-img) command -v qemu-img >/dev/null || missing="$missing qemu-utils" ;;
    makedumpfile) command -v makedumpfile >/dev/null || missing="$missing makedumpfile" ;;
    zstd) command -v zstd >/dev/null || missing="$missing zstd" ;;
    xmllint) command -v xmllint >/dev/null || missing="$missing libxml2-utils" ;;
    ocaml) command -v ocamlfind >/dev/null || missing="$missing ocaml-nox ocaml-findlib" ;;
  esac
done
[ -z "$missing" ] && exit 0

# Debian starts what it installs: the tests need the program alone.
case "$missing" in
  *prometheus*) echo "unidbg: Debian's prometheus package starts a service on port 9090; systemctl disable --now prometheus ends it" ;;
esac

line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "unidbg: installing Debian packages:$missing"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $line >/dev/null
elif command -v sudo >/dev/null && command -v apt-get >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
  echo "unidbg: installing Debian packages with sudo:$missing"
  sudo apt-get update -qq
  sudo env DEBIAN_FRONTEND=noninteractive $line >/dev/null
else
  echo "unidbg: these programs are missing; please run:  sudo apt-get update && sudo $line" >&2
  exit 3
fi
