// The rules by which go-spiffe and java-spiffe take an X.509-SVID and a bundle, on the certificates as Go reads them.
// go-spiffe v2: svid/x509svid, bundle/spiffebundle, spiffeid. java-spiffe: X509Svid, X509SvidValidator, CertificateUtils.
//
// stdin: {"chain": PEM, "bundle": text of a SPIFFE bundle}. stdout: {"id", "sequence", "refreshHint"}, or {"error"}.
package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"regexp"
	"strings"
)

type setup struct{ Chain, Bundle string }

type bundle struct {
	Sequence    *uint64 `json:"spiffe_sequence"`
	RefreshHint *int64  `json:"spiffe_refresh_hint"`
	Keys        []struct {
		Use, Kty, Crv, Kid string
		X5c                []string
	}
}

var (
	trustDomain = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)
	segment     = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
)

// SPIFFE-ID 2: scheme, trust domain and path, and nothing else.
func spiffeID(certificate *x509.Certificate) (domain, path string, err error) {
	if len(certificate.URIs) != 1 {
		return "", "", errors.New("not exactly one URI SAN")
	}
	id := certificate.URIs[0]
	if len(id.String()) > 2048 {
		return "", "", errors.New("the SPIFFE ID is too long")
	}
	if id.Scheme != "spiffe" || id.User != nil || id.RawQuery != "" || id.ForceQuery || id.Fragment != "" {
		return "", "", errors.New("not a SPIFFE ID")
	}
	if !trustDomain.MatchString(id.Host) {
		return "", "", errors.New("not a trust domain")
	}
	path = id.EscapedPath()
	if path != "" {
		for _, part := range strings.Split(path[1:], "/") {
			if part == "." || part == ".." || !segment.MatchString(part) {
				return "", "", errors.New("not a path of a SPIFFE ID")
			}
		}
	}
	return id.Host, path, nil
}

func check(with setup) (map[string]interface{}, error) {
	chain := []*x509.Certificate{}
	for block, rest := pem.Decode([]byte(with.Chain)); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate")
	}
	leaf := chain[0]
	domain, path, err := spiffeID(leaf)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("the SPIFFE ID of a leaf has no path")
	}
	if leaf.IsCA {
		return nil, errors.New("a leaf has the CA flag")
	}
	if leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, errors.New("a leaf has no digitalSignature")
	}
	if leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return nil, errors.New("a leaf has keyCertSign or cRLSign")
	}
	if len(leaf.ExtKeyUsage) != 0 {
		purposes := map[x509.ExtKeyUsage]bool{}
		for _, each := range leaf.ExtKeyUsage {
			purposes[each] = true
		}
		if !purposes[x509.ExtKeyUsageServerAuth] || !purposes[x509.ExtKeyUsageClientAuth] {
			return nil, errors.New("a leaf is not for server and client")
		}
	}
	roots, sequence, refreshHint, err := readBundle(with.Bundle)
	if err != nil {
		return nil, err
	}
	pool, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	for _, each := range chain[1:] {
		intermediates.AddCert(each)
	}
	for _, each := range append(append([]*x509.Certificate{}, chain[1:]...), roots...) {
		if err := checkSigning(each, domain); err != nil {
			return nil, err
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return nil, err
	}
	id := url.URL{Scheme: "spiffe", Host: domain, Path: path}
	return map[string]interface{}{"id": id.String(), "sequence": sequence, "refreshHint": refreshHint}, nil
}

func checkSigning(certificate *x509.Certificate, domain string) error {
	if !certificate.IsCA || !certificate.BasicConstraintsValid {
		return errors.New("a signing certificate has no CA flag")
	}
	if certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("a signing certificate has no keyCertSign")
	}
	// X509-SVID 3.2: it may have a SPIFFE ID, which then is that of a trust domain.
	if len(certificate.URIs) == 0 {
		return nil
	}
	its, path, err := spiffeID(certificate)
	if err == nil && (path != "" || its != domain) {
		return errors.New("the SPIFFE ID of a signing certificate is not that of the trust domain")
	}
	return err
}

// Trust Domain and Bundle 4: each X.509 authority is a key with one certificate.
func readBundle(text string) ([]*x509.Certificate, uint64, int64, error) {
	var read bundle
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		return nil, 0, 0, err
	}
	if read.Sequence == nil || read.RefreshHint == nil {
		return nil, 0, 0, errors.New("the bundle has no sequence or no refresh hint")
	}
	if read.Keys == nil {
		return nil, 0, 0, errors.New("the bundle has no authorities")
	}
	roots := []*x509.Certificate{}
	for _, key := range read.Keys {
		if key.Use != "x509-svid" || key.Kty != "EC" || key.Crv != "P-256" || len(key.X5c) != 1 {
			return nil, 0, 0, errors.New("a key of the bundle is not one with one certificate")
		}
		der, err := base64.StdEncoding.DecodeString(key.X5c[0])
		if err != nil {
			return nil, 0, 0, err
		}
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, 0, 0, err
		}
		roots = append(roots, root)
	}
	return roots, *read.Sequence, *read.RefreshHint, nil
}

func main() {
	var with setup
	if err := json.NewDecoder(os.Stdin).Decode(&with); err != nil {
		panic(err)
	}
	verdict, err := check(with)
	if err != nil {
		verdict = map[string]interface{}{"error": err.Error()}
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdict); err != nil {
		panic(err)
	}
}
