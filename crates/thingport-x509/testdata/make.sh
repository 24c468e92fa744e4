#!/usr/bin/env bash
# Makes the certificates of this folder anew with the commands that users are told (the validity alone is
# longer). Private keys are thrown away. Run in an empty folder, then copy what is wanted.
set -euo pipefail
days=36500

# Device certificates, self-signed.
openssl req -x509 -newkey rsa:4096 -keyout key.pem -out rsa.pem -sha256 -days $days -nodes -subj "/C=DE/O=ACME, Inc./CN=pump-17"
openssl ecparam -out key.pem -name prime256v1 -genkey
openssl req -new -key key.pem -x509 -nodes -days $days -out ec.pem -subj "/CN=pump-18"
openssl req -x509 -newkey ed25519 -keyout key.pem -out ed25519.pem -days $days -nodes -subj "/CN=pump-19"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -keyout key.pem -out p384.pem -sha384 -days $days -nodes -subj "/CN=pump-20"

# Root, intermediate, device: the device's certificate is of version 1, the intermediate has no keyUsage.
openssl req -x509 -newkey rsa:4096 -keyout rootKey.pem -out root.pem -sha256 -days $days -nodes -subj "/CN=Root"
openssl req -new -newkey rsa:4096 -keyout intermediateKey.pem -out intermediate.csr -sha256 -nodes -subj "/CN=Intermediate"
echo basicConstraints=CA:TRUE >ca-ext.txt
openssl x509 -req -in intermediate.csr -out intermediate.pem -CA root.pem -CAkey rootKey.pem -days $days -sha256 -CAcreateserial -extfile ca-ext.txt
openssl req -new -newkey rsa:4096 -keyout deviceKey.pem -out device.csr -sha256 -nodes -subj "/O=ACME/CN=pump-21@company.com"
openssl x509 -req -in device.csr -out device.pem -CA intermediate.pem -CAkey intermediateKey.pem -days $days -sha256 -CAcreateserial
cat device.pem intermediate.pem root.pem >chain.pem

# A device certificate with SHA-1, which nothing may rely on.
openssl x509 -req -in device.csr -out sha1.pem -CA intermediate.pem -CAkey intermediateKey.pem -days $days -sha1 -CAcreateserial

# A revocation list of the intermediate that names the device's certificate.
touch index.txt && echo 01 >crlnumber
cat >ca.cnf <<'C'
[ca]
default_ca = it
[it]
database = index.txt
crlnumber = crlnumber
default_md = sha256
C
openssl ca -config ca.cnf -cert intermediate.pem -keyfile intermediateKey.pem -revoke device.pem
openssl ca -config ca.cnf -cert intermediate.pem -keyfile intermediateKey.pem -gencrl -crldays $days -out crl.pem

# What else people paste; the private key is cut so that it is none.
cp intermediate.csr request.pem
openssl pkey -in deviceKey.pem -pubout -out public.pem
openssl crl2pkcs7 -nocrl -certfile chain.pem -out bundle.p7b
openssl x509 -in ec.pem -text >text.pem
openssl x509 -in ec.pem -trustout -addtrust clientAuth -out trusted.pem
rm -f -- *Key.pem key.pem *.csr ca-ext.txt index.txt* crlnumber* *.srl ca.cnf
