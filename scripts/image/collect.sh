#!/bin/sh
# Copies the parts of the first stage that the image needs to FOLDER: the program, and the libraries that it loads.
set -eu
image=$1
program=/usr/lib/palyra
mkdir -p "$image/etc" "$image/usr/bin" "$image/usr/lib" "$image/tmp" "$image/var/lib"
cp -a "$program" "$image/usr/lib/"
node=$program/node_modules/node/bin/node
{
  ldd "$node"
  find "$program" -name '*.node' -exec ldd {} \;
} | awk '/=> \// { print $3 } /^[ \t]*\// { print $1 }' | sed 's/:$//' | sort -u | while read -r library; do
  cp -L --parents "$library" "$image"
done
# The usual command needs a shell. This one has Node as its interpreter.
printf '#!%s\nimport "%s/bin/palyra.js";\n' "$node" "$program" > "$image/usr/bin/palyra"
chmod 755 "$image/usr/bin/palyra"
chmod 1777 "$image/tmp"
printf 'root:x:0:0::/:/nologin\npalyra:x:65532:65532::/var/lib/palyra:/nologin\n' > "$image/etc/passwd"
printf 'root:x:0:\npalyra:x:65532:\n' > "$image/etc/group"
printf 'hosts: files dns\n' > "$image/etc/nsswitch.conf"
install -d -m 0700 -o 65532 -g 65532 "$image/var/lib/palyra"
