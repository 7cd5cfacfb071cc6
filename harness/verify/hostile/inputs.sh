#!/bin/sh
# Makes the small hostile inputs that cases.tsv names, in the current folder. $T: the program.
# Usage: inputs.sh
set -e
export LC_ALL=C

# bytes8 N: as eight little-endian bytes, for printf
bytes8() {
    n=$1 i=0
    while [ $i -lt 8 ]; do printf '\\%03o' $((n & 255)); n=$((n >> 8)) i=$((i + 1)); done
}
# tensors FILE HEADER BYTES: a safetensors file whose data are BYTES zeros
tensors() {
    { printf "$(bytes8 ${#2})"; printf '%s' "$2"; head -c "$3" /dev/zero; } >"$1"
}

# ---- texts
i=0
while [ $i -lt 400 ]; do
    echo "In the year $i the harbour was quiet. The boats lay on the sand! Who had seen the lamp on the hill? No one had."
    i=$((i + 1))
done >prose.txt
awk 'BEGIN { for (i = 0; i < 800; i++) printf "x%d = f(y%d) + %d;\n", i, i * 7 % 13, i % 5 }' >code.txt
awk 'BEGIN { for (i = 0; i < 600; i++) printf "\344\270\200\344\272\214\344\270\211%d\345\233\233\343\200\202", i }' >zh.txt
awk 'BEGIN { for (i = 0; i < 9000; i++) printf "ab" }' >oneword.txt
head -c 3000 /dev/zero >zeros.txt
head -c 20000 /dev/zero | tr '\0' a >aaaa.txt
printf 'ROMEO:\nBut soft,\nwhat light\n' >verse
for i in 1 2 3 4 5 6 7 8 9 10; do cat verse verse verse verse verse verse; done >verse.txt
: >empty
printf 'too short' >short.txt
printf '\377\376\000\001' >binary.bin
mkdir -p folder
gzip -n -c prose.txt >prose.txt.gz
size=$(wc -c <prose.txt.gz)
head -c $((size - 1)) prose.txt.gz >cut1.txt.gz
head -c $((size / 2)) prose.txt.gz >cut2.txt.gz
head -c 12 prose.txt.gz >head.txt.gz
head -c 1 prose.txt.gz >byte.txt.gz
: >nothing.txt.gz
cp prose.txt plain.txt.gz
{ head -c $((size - 8)) prose.txt.gz; printf '\001\002\003\004'; tail -c 4 prose.txt.gz; } >crc.txt.gz
{ cat prose.txt.gz; echo rubbish; } >tail.txt.gz
cat prose.txt.gz prose.txt.gz >twice.txt.gz
{ cat prose.txt.gz; head -c 512 /dev/zero; } >padded.txt.gz
truncate -s 2200M huge.txt
mkfifo pipe

# ---- data folders
mkdir -p data/essays data/wordlists words/wordlists blank/wordlists nul/wordlists half/essays hurt/essays lists/wordlists/nounlist.txt
cp prose.txt data/essays/ralph-waldo-emerson_essays.txt
cp prose.txt data/essays/henry-david-thoreau_walden.txt
printf 'calm\nbold\n' >data/wordlists/adjectivelist.txt
printf 'harbour\nlamp\n' >data/wordlists/nounlist.txt
printf 'calm\n' >lists/wordlists/adjectivelist.txt
: >words/wordlists/adjectivelist.txt
: >words/wordlists/nounlist.txt
printf '\n  \n\n' >blank/wordlists/adjectivelist.txt
cp blank/wordlists/adjectivelist.txt blank/wordlists/nounlist.txt
printf 'a\000b\n' >nul/wordlists/adjectivelist.txt
cp prose.txt half/essays/ralph-waldo-emerson_essays.txt
cp prose.txt hurt/essays/ralph-waldo-emerson_essays.txt
cp crc.txt.gz hurt/essays/henry-david-thoreau_walden.txt.gz

# ---- JSON
printf '{"width":32,"heads":2}garbage' >garbage.json
printf '{"width":32,"width":64}' >twice.json
printf '{"width":' >broken.json
printf '[1,2]' >list.json
printf '{"width":"32"}' >text.json
printf '{"width":1e400}' >big.json
printf '{"wi\\u0000dth":32}' >zero.json
printf '{"curriculum":"4611686018427387904:1"}' >curriculum.json
{ printf '{"width":32,%20000s"heads":2,"ffn":32,"vocab":64}' ' '; } >long.json
printf '{"width":16,"heads":2,"ffn":16,"layers":1}' >small.json
printf '\357\273\277{"width":16,"heads":2}' >bom.json

# ---- sweeps
echo '{"width": 16, "ffn": 16, "chunk": 16, "batch": 2, "curriculum": "64:2"}' >job.json
# sweep FILE RECIPES SEEDS FOLDER [MORE]
sweep() { echo "{\"recipes\": $2, \"seeds\": $3, \"folder\": $4$5}" >"$1"; }
sweep sweep.json '["job.json"]' '[0, 1]' '"out"'
sweep half.sweep '["job.json"]' '[0, 1.5]' '"out"'
sweep minus.sweep '["job.json"]' '[-1]' '"out"'
sweep word.sweep '["job.json"]' '["0"]' '"out"'
sweep large.sweep '["job.json"]' '[1e300]' '"out"'
sweep none.sweep '["job.json"]' '[]' '"out"'
sweep text.sweep '"job.json"' '[0]' '"out"'
sweep many.sweep "[$(yes '"job.json"' | head -400 | paste -sd,)]" "[$(seq -s, 400)]" '"out"'
sweep twice.sweep '["job.json", "./job.json"]' '[0]' '"out"'
sweep number.sweep '["job.json"]' '[0]' 7
sweep file.sweep '["job.json"]' '[0]' '"prose.txt"'
sweep deep.sweep '["job.json"]' '[0]' '"no/such/folder"'
sweep missing.sweep '["nowhere.json"]' '[0]' '"out"'
sweep wide.sweep '["job.json"]' '[0]' '"out"' ', "set": {"wdith": 3}'
sweep nested.sweep '["job.json"]' '[0]' '"out"' ', "set": {"width": {"a": [1]}}'
sweep list.sweep '["job.json"]' '[0]' '"out"' ', "set": [1]'
sweep seed.sweep '["job.json"]' '[0]' '"out"' ', "set": {"seed": 4}'
sweep key.sweep '["job.json"]' '[0]' '"out"' ', "recipe": 1'
sweep slash.sweep '[{"recipe": "job.json", "name": "../x"}]' '[0]' '"out"'
sweep bell.sweep '[{"recipe": "job.json", "name": "a\u0007b"}]' '[0]' '"out"'
sweep entry.sweep '[{"name": "x"}]' '[0]' '"out"'
sweep shards.sweep '["job.json", {"recipe": "job.json", "name": "bad", "set": {"shards": 4}}]' '[0]' '"out"'
mkdir tables && sweep tables/sweep.tsv '["job.json"]' '[0]' '"tables"'
mkdir taken && sweep taken.sweep '["job.json"]' '[0, 1]' '"taken"' && mkdir taken/job-s0.claim
mkdir foreign && sweep foreign.sweep '["job.json"]' '[0, 1]' '"foreign"' && cp prose.txt foreign/job-s0.safetensors
mkdir claims && sweep claims.sweep '["job.json"]' '[0, 1]' '"claims"' && echo '99999999999999999999 nan failed' >claims/job-s0.claim && head -c 4000 /dev/zero >claims/job-s1.claim
# asks FILE ENTRIES: a sweep that asks
asks() { sweep "$1" '["job.json"]' '[0]' '"out"' ", \"ask\": $2"; }
asks list.asks '{}'
asks entry.asks '[1]'
asks key.asks '[{"table": "a", "lenghts": "1K"}]'
asks lengths.asks '[{"table": "a", "lengths": "1K,,2K"}]'
asks limit.asks '[{"table": "a", "limit": "1X"}]'
asks samples.asks '[{"table": "a", "samples": 0}]'
asks table.asks '[{"table": "../a"}]'
asks none.asks '[{"lengths": "1K"}]'
asks log.asks '[{"table": "job-s0"}]'
asks models.asks '[{"table": "a", "models": "mac-*,mag"}]'
asks task.asks '[{"table": "a", "task": "pass-key"}]'
asks set.asks '[{"table": "a", "set": {"widht": 3}}]'
asks weight.asks '[{"table": "a", "set": {"width": 3}}]'
asks short.asks '[{"table": "a", "lengths": "10"}, {"table": "b", "lengths": "200", "samples": 1}]'
asks other.asks '[{"table": "a", "lengths": "200", "samples": 1}]'
sweep long.sweep '["job.json"]' '[0, 1]' '"out"' ', "set": {"curriculum": "64:100000"}'

# ---- models
$T train -c small.json -m lmm -t text --haystack prose.txt --set batch=2 --set curriculum=32:2 --out text.st 2>/dev/null
$T train -c small.json -m attention -t text --haystack prose.txt --set batch=2 --set curriculum=32:2 --out attention.st 2>/dev/null
$T train -c small.json -m mac --set persistent=2 --set segment=32 --set batch=2 --set curriculum=64:2 --out pass.st 2>/dev/null
$T train -c small.json -m lmm -t niah2 --haystack prose.txt --set batch=2 --set curriculum=512:1 --out niah.st 2>/dev/null
$T export text.st --out weights.st
$T export niah.st --out needle.st
$T eval pass.st --length 200 --samples 2 -q --save-state pass.state --stop-at 100 2>/dev/null || true
$T eval niah.st --length 1000 --samples 1 -d 0.5 -q --save-state niah.state --stop-at 512 2>/dev/null || true
size=$(wc -c <text.st)
head -c $((size - 1)) text.st >cut.st
{ cat text.st; printf x; } >long.st
head -c 100 text.st >head.st
sed 's/"position":"100"/"position":"101"/' pass.state >moved.state
sed 's/\\"theta_max\\":\(.*\)[0-9],\\"alpha_bias/\\"theta_max\\":\17,\\"alpha_bias/' pass.st >theta.st
sed 's/passkey/\\\\u001b/g' pass.st >escape.st
sed 's/titans.c state 2/titans.c state 1/' pass.state >old.state
# Weights that are finite and far too large: every number of the head is 3.4e38 (7f7f7f7f).
header=$(od -An -t u8 -N 8 weights.st | tr -d ' ')
at=$(dd if=weights.st bs=1 skip=8 count="$header" 2>/dev/null | sed 's/.*"head":{[^}]*"data_offsets":\[\([0-9]*\),\([0-9]*\)\].*/\1 \2/')
begin=$((8 + header + ${at% *})) length=$((${at#* } - ${at% *}))
cp weights.st head-huge.st
head -c "$length" /dev/zero | tr '\0' '\177' | dd of=head-huge.st bs=1 seek=$begin conv=notrunc 2>/dev/null
cp weights.st all-huge.st
total=$(($(wc -c <weights.st) - 8 - header))
head -c "$total" /dev/zero | tr '\0' '\177' | dd of=all-huge.st bs=64k seek=$((8 + header)) oflag=seek_bytes conv=notrunc 2>/dev/null

# ---- tensors: memory_read with y = q M, one layer 2 x 1
one='{"M":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]},"q":{"dtype":"F64","shape":[2],"data_offsets":[16,32]}'
tensors good.in "$one}" 32
tensors odd.in "$one,\"a\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[32,38]}}  " 38
tensors unaligned.in '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"M":{"dtype":"F64","shape":[2,1],"data_offsets":[3,19]},"q":{"dtype":"F64","shape":[2],"data_offsets":[19,35]}}' 35
tensors types.in "$one,\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[32,40]},\"b\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[40,42]},\"f\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[42,44]},\"n\":{\"dtype\":\"F4_X\",\"shape\":[2],\"data_offsets\":[44,45]},\"z\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[45,45]},\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[45,49]}}" 49
tensors deep.in "$one,\"d\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1,1,2],\"data_offsets\":[32,34]}}" 34
tensors name.in "$one,\"$(printf '%0300d' 7)\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[32,34]}}" 34
author=$(printf 'J\303\251r\303\264me \346\274\242\345\255\227')
tensors about.in "{\"__metadata__\":{\"author\":\"$author\",\"dims\":\"memory_layers=1,n0=2,n1=1\"},${one#?}}" 32
tensors control.in "$one,\"a\\u0007b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[32,34]}}" 34
tensors nul.in "$one,\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[32,34]}}" 34
tensors same.in "$one,\"q\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[32,48]}}" 48
tensors behind.in "$one}garbage" 32
tensors hole.in '{"M":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]},"q":{"dtype":"F64","shape":[2],"data_offsets":[24,40]}}' 40
tensors overlap.in '{"M":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]},"q":{"dtype":"F64","shape":[2],"data_offsets":[8,24]}}' 24
tensors excess.in "$one}" 40
tensors shape.in '{"M":{"dtype":"F64","shape":[4611686018427387904,4],"data_offsets":[0,16]}}' 16
tensors size.in '{"M":{"dtype":"F64","shape":[3,1],"data_offsets":[0,16]},"q":{"dtype":"F64","shape":[2],"data_offsets":[16,32]}}' 32
tensors negative.in '{"M":{"dtype":"F64","shape":[-2,1],"data_offsets":[0,16]}}' 16
tensors offsets.in '{"M":{"dtype":"F64","shape":[2,1],"data_offsets":[0,9223372036854775807]}}' 16
tensors integer.in '{"M":{"dtype":"I64","shape":[2,1],"data_offsets":[0,16]},"q":{"dtype":"F64","shape":[2],"data_offsets":[16,32]}}' 32
tensors count.in '{"M":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]},"q":{"dtype":"F64","shape":[3],"data_offsets":[16,40]}}' 40
tensors claims.in '{"x":{"dtype":"F4_X","shape":[9],"data_offsets":[0,0]}}' 0
tensors list.in '[1,2,3]' 0
tensors none.in '{}' 0
# q = 1e39: finite as double, not in float32 (47f0..: 0x48078287f49c4a1d)
{ printf "$(bytes8 $((${#one} + 1)))"; printf '%s}' "$one"; printf '\000\000\000\000\000\000\360\077\000\000\000\000\000\000\360\077'
    printf '\035\112\234\364\207\202\007\110\000\000\000\000\000\000\000\000'; } >large.in
# q = NaN
{ printf "$(bytes8 $((${#one} + 1)))"; printf '%s}' "$one"; head -c 16 /dev/zero; printf '\000\000\000\000\000\000\370\177'; head -c 8 /dev/zero; } >nan.in
head -c 7 good.in >seven.in
printf '\377\377\377\377\377\377\377\377' >length.in
