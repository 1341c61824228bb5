package datasource

import "context"

// VMwareOVF is an OVF environment (DSP0243 of DMTF), a file such as
// /media/ovfenv/ovf-env.xml. Its properties are the variables of VMwareGuestinfo, with the
// prefix "guestinfo.".
func VMwareOVF(path string) Source {
	return source{"OVF environment " + path, func(ctx context.Context) (*Data, error) {
		text, err := readFile(ctx, path, maxOVF)
		if err != nil {
			return nil, err
		}
		properties, err := parseOVF(text)
		if err != nil {
			return nil, err
		}
		return fetchVMware(ctx, properties.get)
	}}
}

// maxOVF is the size limit of an OVF environment in bytes. It contains user-data in base64.
const maxOVF = 2 * MaxUserData

// ovfProperties are the properties of an OVF environment by name.
type ovfProperties map[string]string

func (p ovfProperties) get(_ context.Context, name string) (string, error) {
	return p["guestinfo."+name], nil
}

func parseOVF(text []byte) (ovfProperties, error) {
	var parsed struct {
		Properties []struct {
			Key   string `xml:"http://schemas.dmtf.org/ovf/environment/1 key,attr"`
			Value string `xml:"http://schemas.dmtf.org/ovf/environment/1 value,attr"`
		} `xml:"PropertySection>Property"`
	}
	if err := xmlDocument(text, &parsed); err != nil {
		return nil, err
	}
	properties := ovfProperties{}
	for _, property := range parsed.Properties {
		properties[property.Key] = property.Value
	}
	return properties, nil
}
