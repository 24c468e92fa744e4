#!/bin/sh
# Makes the fixtures of this directory anew with openssl 3. The passphrase of every sealed key is "secret".
# Dates are fixed by the number of days, so that nothing here expires while anybody cares.
set -eu
cd "$(dirname "$0")"

days=36500
openssl ecparam -name prime256v1 -genkey -out sec1.pem          # with its EC PARAMETERS before it
openssl pkcs8 -topk8 -nocrypt -in sec1.pem -out pkcs8.pem
openssl req -new -x509 -key sec1.pem -days $days -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out ec.pem
openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret -in sec1.pem -out sealed-aes.pem
openssl pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA1 -passout pass:secret -in sec1.pem -out sealed-3des.pem
openssl pkcs8 -topk8 -scrypt -passout pass:secret -in sec1.pem -out sealed-scrypt.pem
openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES -passout pass:secret -in sec1.pem -out sealed-pbes1.pem
openssl ec -in sec1.pem -aes128 -passout pass:secret -out legacy.pem
openssl req -new -x509 -newkey rsa:2048 -nodes -keyout rsa-pkcs8.pem -days $days -subj /CN=rsa -out rsa.pem
openssl rsa -traditional -in rsa-pkcs8.pem -out pkcs1.pem
openssl req -new -x509 -newkey rsa:1024 -nodes -keyout weak-key.pem -days $days -subj /CN=weak -out weak.pem
openssl req -new -key sec1.pem -subj /CN=old -out v1.csr
openssl x509 -req -in v1.csr -signkey sec1.pem -days $days -out v1.pem   # version 1: no extensions
openssl x509 -in ec.pem -outform DER -out ec.der
rm v1.csr
