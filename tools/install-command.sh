#!/bin/sh
# `make install`: a `millrace` in ~/.local/bin (or in $1) that runs this folder's build from anywhere.
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$HOME/.local/bin}
mkdir -p "$folder"
cat >"$folder/millrace" <<SCRIPT
#!/bin/sh
exec "$home/tools/millrace.sh" "\$@"
SCRIPT
chmod +x "$folder/millrace"
echo "Installed $folder/millrace."
case ":$PATH:" in
  *":$folder:"*) ;;
  *) echo "It is not on your PATH yet. Add this line to your shell's profile: export PATH=\"$folder:\$PATH\"" ;;
esac
