# Makes certificate files with the openssl program, in the current folder: good ones, and those that people have by mistake.

password=geheim-1

# issue NAME SUBJECT ISSUER EXTENSION...: a certificate NAME.pem for NAME.key, signed by ISSUER.
issue() {
    name=$1 subject=$2 issuer=$3
    shift 3
    printf '%s\n' "$@" >"$name.ext"
    openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
    openssl x509 -req -in "$name.csr" -CA "$issuer.pem" -CAkey "$issuer.key" -days 30 -extfile "$name.ext" \
        -out "$name.pem" 2>/dev/null
}
# leaf NAME: a server's certificate for NAME.key.
leaf() { issue "$1" /CN=files.stannel.test outer 'subjectAltName=DNS:files.stannel.test' 'extendedKeyUsage=serverAuth'; }
curve() { openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:$1" -out "$2.key"; }

# --- authorities: root, inner, outer; and a stranger

for name in root inner outer stranger; do curve P-256 $name; done
for name in root stranger; do
    openssl req -x509 -key $name.key -subj "/CN=$name" -days 30 -addext basicConstraints=critical,CA:TRUE -out $name.pem
done
issue inner /CN=inner root basicConstraints=critical,CA:TRUE
issue outer /CN=outer inner basicConstraints=critical,CA:TRUE

# --- keys and their certificates

curve P-256 p256
curve P-384 p384
curve P-521 p521
openssl genpkey -algorithm ED25519 -out ed25519.key
for size in 2048 3072 4096; do openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:$size -out rsa$size.key 2>/dev/null; done
for name in p256 p384 p521 ed25519 rsa2048 rsa3072 rsa4096; do leaf $name; done
curve P-256 other
# Those that no server should have.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa1024.key 2>/dev/null
openssl genpkey -algorithm ED448 -out ed448.key
curve secp256k1 secp256k1
for name in rsa1024 ed448 secp256k1; do leaf $name; done
cp p256.key client.key
issue client /CN=files.stannel.test outer extendedKeyUsage=clientAuth

# --- certificates in every form

cat p256.pem outer.pem inner.pem root.pem >chain.pem
cat p256.pem root.pem inner.pem stranger.pem outer.pem >chain-mixed.pem
cat outer.pem inner.pem p256.pem >leaf-last.pem
openssl x509 -in p256.pem -text -out text.pem
{ echo 'Bag Attributes'; echo '    friendlyName: -- mine --'; cat p256.pem; echo 'the end, without a line end'; } | tr -d '\r' >words.pem
sed 's/$/\r/' chain.pem >crlf.pem
sed 's/$/\r/' p256.key >crlf.key
{ printf '\357\273\277'; cat p256.pem; } >bom.pem
{ printf '\357\273\277'; cat p256.key; } >bom.key
printf %s "$(cat p256.pem)" >no-line-end.pem
sed 's/$/  /' p256.pem >blanks.pem
cat p256.key p256.pem >both.pem
cp p256.pem named.pfx
cp p256.pem 'certificate with blanks.pem'
cp p256.key 'key with blanks.key'
# As certbot has it.
ln -s "$PWD/p256.pem" link.pem
ln -s p256.key link.key
openssl x509 -in p256.pem -outform DER -out der.crt
openssl x509 -in p256.pem -trustout -out trusted.pem
sed 's/ CERTIFICATE/ X509 CERTIFICATE/' p256.pem >x509.pem
openssl crl2pkcs7 -nocrl -certfile chain.pem -out bundle.p7b
openssl crl2pkcs7 -nocrl -certfile chain.pem -outform DER -out bundle-der.p7b
head -c 300 p256.pem >cut.pem
head -c 200 der.crt >cut.crt
sed '3s/./*/' p256.pem >star.pem
printf 'no certificate at all\n' >garbage.pem
: >empty.pem
head -c 1048577 /dev/zero >huge.pem
mkdir folder.pem
cp p256.pem secret.pem
chmod 0 secret.pem
mkfifo pipe.pem

# --- keys in every form

openssl rsa -in rsa2048.key -traditional -out pkcs1.key 2>/dev/null
openssl ec -in p256.key -out sec1.key 2>/dev/null
{ openssl ecparam -name prime256v1; cat sec1.key; } >sec1-parameters.key
openssl pkey -in p256.key -text -out text.key
seal() { out=$1; shift; openssl pkcs8 -topk8 -in p256.key -passout "pass:$password" -out "$out.key" "$@"; }
seal aes-256 -v2 aes-256-cbc
seal aes-128 -v2 aes-128-cbc
seal aes-192-sha512 -v2 aes-192-cbc -v2prf hmacWithSHA512
seal des3 -v2 des3
seal scrypt -scrypt
seal one-round -v2 aes-256-cbc -iter 1
seal pbe-3des -v1 PBE-SHA1-3DES
seal aria -v2 aria-256-cbc
seal camellia -v2 camellia-256-cbc
openssl pkcs8 -topk8 -in rsa2048.key -passout "pass:$password" -out rsa-sealed.key
openssl rsa -in rsa2048.key -traditional -aes256 -passout "pass:$password" -out dek-info.key 2>/dev/null
openssl pkey -in p256.key -pubout -out public.key
openssl pkey -in p256.key -outform DER -out der.key
head -c 120 p256.key >cut.key
sed '2s/./*/' p256.key >star.key
sed 's/^M/N/' p256.key >damaged.key

# --- PFX

pfx() { out=$1; shift; openssl pkcs12 -export -in p256.pem -inkey p256.key -passout "pass:$password" -out "$out.pfx" "$@"; }
pfx default
pfx legacy -legacy
pfx rc2-40 -legacy -certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-RC2-40
pfx 3des -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1
pfx open -certpbe NONE -keypbe NONE
pfx no-mac -nomac
pfx sha384 -macalg sha384
pfx sha512-one-round -macalg sha512 -maciter -iter 1
pfx chain -certfile chain-mixed.pem -name 'mine, hübsch'
openssl pkcs12 -export -in rsa2048.pem -inkey rsa2048.key -passout "pass:$password" -out rsa.pfx
openssl pkcs12 -export -in p256.pem -inkey p256.key -passout pass: -out empty-password.pfx
openssl pkcs12 -export -in p256.pem -inkey p256.key -passout pass:pässword-€ -out umlaut.pfx
pfx aria -keypbe aria-256-cbc -certpbe aria-256-cbc
pfx md5 -macalg md5
openssl pkcs12 -export -in p256.pem -nokeys -passout "pass:$password" -out no-key.pfx
openssl pkcs12 -export -nocerts -inkey p256.key -passout "pass:$password" -out no-certificate.pfx
head -c 500 default.pfx >cut.pfx
cp default.pfx named.pem
{ cat default.pfx; echo behind; } >behind.pfx
