package datasource

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/netip"
	"os"
)

// AzureAgent is the directory of Azure's agent, such as /var/lib/waagent. User-data is the
// custom data in ovf-env.xml, or else the file CustomData; addresses are those in
// SharedConfig.xml. The source is asked again until the agent has finished, which a file
// named provisioned shows. See
// https://learn.microsoft.com/azure/virtual-machines/custom-data.
func AzureAgent(dir string) Source {
	return source{"waagent directory " + dir, func(ctx context.Context) (*Data, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			// This is not ErrAbsent, since the agent creates the directory.
			return nil, fmt.Errorf("the agent has not started yet: %w", err)
		}
		defer root.Close()
		if _, err := root.Stat("provisioned"); err != nil {
			return nil, fmt.Errorf("the agent has not finished yet: %w", err)
		}
		return fetchAgent(ctx, root, dir)
	}}
}

func fetchAgent(ctx context.Context, root *os.Root, dir string) (*Data, error) {
	data := &Data{Root: dir}
	text, err := optionalIn(ctx, root, "ovf-env.xml", maxDocument)
	if err != nil {
		return nil, err
	}
	if len(text) != 0 {
		if err := parseAzureOVF(text, data); err != nil {
			return nil, fmt.Errorf("ovf-env.xml: %w", err)
		}
	}
	if len(data.UserData) == 0 && data.Undecoded == nil {
		// The agent has decoded it.
		if data.UserData, err = optionalIn(ctx, root, "CustomData", MaxUserData); err != nil {
			return nil, err
		}
	}
	text, err = optionalIn(ctx, root, "SharedConfig.xml", maxDocument)
	if err != nil || len(text) == 0 {
		return data, err
	}
	m := &data.Metadata
	if m.PrivateIPv4, m.PublicIPv4, err = parseSharedConfig(text); err != nil {
		m.leaveOut(fmt.Errorf("SharedConfig.xml: %w", err))
	}
	return data, nil
}

// parseAzureOVF parses the document that Azure provides on a virtual DVD.
func parseAzureOVF(text []byte, data *Data) error {
	var parsed struct {
		Linux struct {
			HostName   string
			CustomData string
			PublicKeys []struct {
				Value string
			} `xml:"SSH>PublicKeys>PublicKey"`
		} `xml:"ProvisioningSection>LinuxProvisioningConfigurationSet"`
	}
	if err := xmlDocument(text, &parsed); err != nil {
		return err
	}
	data.UserData, data.Undecoded = decodeBase64(parsed.Linux.CustomData)
	data.Metadata.Hostname = parsed.Linux.HostName
	for _, key := range parsed.Linux.PublicKeys {
		data.Metadata.SSHKeys = append(data.Metadata.SSHKeys, key.Value)
	}
	return nil
}

// parseSharedConfig returns the addresses of this machine, which is one of several
// instances.
func parseSharedConfig(text []byte) (private, public netip.Addr, err error) {
	var parsed struct {
		Incarnation struct {
			Instance string `xml:"instance,attr"`
		}
		Instances []struct {
			ID        string `xml:"id,attr"`
			Address   string `xml:"address,attr"`
			Endpoints []struct {
				Public string `xml:"loadBalancedPublicAddress,attr"`
			} `xml:"InputEndpoints>Endpoint"`
		} `xml:"Instances>Instance"`
	}
	if err := xmlDocument(text, &parsed); err != nil {
		return private, public, err
	}
	for _, instance := range parsed.Instances {
		if instance.ID != parsed.Incarnation.Instance {
			continue
		}
		for _, endpoint := range instance.Endpoints {
			if address, err := netip.ParseAddrPort(endpoint.Public); err == nil {
				setFirst(&public, address.Addr().WithZone(""))
			}
		}
		private, err = parseAddress("address", instance.Address)
		return private, public, err
	}
	return private, public, nil
}

// xmlDocument decodes an XML document. Go's decoder expands only the five entities of XML
// itself, so a small document cannot become a large one.
func xmlDocument(text []byte, into any) error {
	if err := xml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: the XML document is not valid: %w", ErrInvalid, err)
	}
	return nil
}
