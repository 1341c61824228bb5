package authenticode

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
)

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidIndirectData  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidImageData     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
)

// The types of PKCS #7 (RFC 2315) and of Authenticode, by their names there.
type (
	spcPeImageData struct {
		Flags asn1.BitString
		File  asn1.RawValue
	}
	spcAttribute struct {
		Type  asn1.ObjectIdentifier
		Value spcPeImageData
	}
	digestInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	spcIndirectData struct {
		Data          spcAttribute
		MessageDigest digestInfo
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values asn1.RawValue
	}
	issuerAndSerialNumber struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	signerInfo struct {
		Version            int
		Signer             issuerAndSerialNumber
		DigestAlgorithm    pkix.AlgorithmIdentifier
		Attributes         asn1.RawValue
		SignatureAlgorithm pkix.AlgorithmIdentifier
		Signature          []byte
	}
	signedMessage struct {
		Version          int
		DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
		Content          contentInfo
		Certificates     asn1.RawValue
		Signers          []signerInfo `asn1:"set"`
	}
)

var (
	sha256Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
	rsaAlgorithm    = pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}
)

// within wraps an encoded value.
func within(class, tag int, value []byte) asn1.RawValue {
	return asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: value}
}

// message returns the PKCS #7 message that says that the key vouches for an image's digest.
func (k *Key) message(digest []byte) ([]byte, error) {
	content, err := asn1.Marshal(spcIndirectData{
		// File is an empty name in a string of BMPs, as the format demands.
		Data: spcAttribute{oidImageData, spcPeImageData{asn1.BitString{},
			within(asn1.ClassContextSpecific, 0, []byte{0xa2, 0x02, 0x80, 0x00})}},
		MessageDigest: digestInfo{sha256Algorithm, digest},
	})
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	attributes, err := signedAttributes(content)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	signature, err := k.rawSign(attributes)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	// The signature is over a SET; in the message the attributes have another tag.
	var set asn1.RawValue
	if _, err := asn1.Unmarshal(attributes, &set); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	message, err := asn1.Marshal(signedMessage{
		Version: 1, DigestAlgorithms: []pkix.AlgorithmIdentifier{sha256Algorithm},
		Content:      contentInfo{oidIndirectData, within(asn1.ClassContextSpecific, 0, content)},
		Certificates: within(asn1.ClassContextSpecific, 0, k.certificate.Raw),
		Signers: []signerInfo{{
			Version: 1, Signer: issuerAndSerialNumber{asn1.RawValue{FullBytes: k.certificate.RawIssuer}, k.certificate.SerialNumber},
			DigestAlgorithm: sha256Algorithm, Attributes: within(asn1.ClassContextSpecific, 0, set.Bytes),
			SignatureAlgorithm: rsaAlgorithm, Signature: signature,
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return asn1.Marshal(contentInfo{oidSignedData, within(asn1.ClassContextSpecific, 0, message)})
}

// signedAttributes returns the kind and the digest of the content, as an encoded SET. The digest
// is of the content without its own tag and length.
func signedAttributes(content []byte) ([]byte, error) {
	var value asn1.RawValue
	if _, err := asn1.Unmarshal(content, &value); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(value.Bytes)
	var attributes []attribute
	for _, a := range []struct {
		kind  asn1.ObjectIdentifier
		value any
	}{{oidContentType, oidIndirectData}, {oidMessageDigest, digest[:]}} {
		encoded, err := asn1.Marshal(a.value)
		if err != nil {
			return nil, err
		}
		attributes = append(attributes, attribute{a.kind, within(asn1.ClassUniversal, asn1.TagSet, encoded)})
	}
	return asn1.MarshalWithParams(attributes, "set")
}
