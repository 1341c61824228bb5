package datasource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Azure is the metadata server of Azure at a URL, such as http://169.254.169.254/. It has
// the user data of a machine, its keys and addresses. It does not have the custom data: see
// AzureAgent. While the server starts, it answers that the document does not exist or is
// gone; then it is asked again. See
// https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service.
func Azure(address string) Source {
	s := newServer(address, "Metadata", "true")
	return source{"azure-metadata at " + s.root, func(ctx context.Context) (*Data, error) {
		text, err := s.get(ctx, "metadata/instance?api-version=2021-02-01&format=json", maxDocument)
		var status *statusError
		if errors.As(err, &status) && status.code == http.StatusGone {
			// Without the status, the error is not ErrInvalid.
			return nil, fmt.Errorf("GET /metadata/instance: %s", status.Error())
		}
		if err != nil {
			return nil, err
		}
		data, err := parseAzure(text)
		if err != nil {
			return nil, fmt.Errorf("metadata/instance: %w", err)
		}
		data.ReadyAt = WireServer
		return data, nil
	}}
}

type azureAddress struct {
	Private looseText `json:"privateIpAddress"`
	Public  looseText `json:"publicIpAddress"`
}

type azureInstance struct {
	Compute struct {
		Name      string `json:"name"`
		OSProfile struct {
			ComputerName string `json:"computerName"`
		} `json:"osProfile"`
		PublicKeys []struct {
			KeyData string `json:"keyData"`
		} `json:"publicKeys"`
		UserData string `json:"userData"`
	} `json:"compute"`
	Network struct {
		Interfaces []struct {
			IPv4 struct {
				Addresses []azureAddress `json:"ipAddress"`
			} `json:"ipv4"`
			IPv6 struct {
				Addresses []azureAddress `json:"ipAddress"`
			} `json:"ipv6"`
		} `json:"interface"`
	} `json:"network"`
}

func parseAzure(text []byte) (*Data, error) {
	var parsed azureInstance
	data := &Data{}
	err := data.Metadata.document(text, &parsed)
	if err != nil {
		return nil, err
	}
	data.UserData, data.Undecoded = decodeBase64(parsed.Compute.UserData)
	m := &data.Metadata
	if m.Hostname = parsed.Compute.OSProfile.ComputerName; m.Hostname == "" {
		m.Hostname = parsed.Compute.Name
	}
	for _, key := range parsed.Compute.PublicKeys {
		m.SSHKeys = append(m.SSHKeys, key.KeyData)
	}
	for _, each := range parsed.Network.Interfaces {
		for _, a := range each.IPv4.Addresses {
			setFirst(&m.PrivateIPv4, m.address("privateIpAddress", string(a.Private)))
			setFirst(&m.PublicIPv4, m.address("publicIpAddress", string(a.Public)))
		}
		for _, a := range each.IPv6.Addresses {
			setFirst(&m.PrivateIPv6, m.address("privateIpAddress", string(a.Private)))
			setFirst(&m.PublicIPv6, m.address("publicIpAddress", string(a.Public)))
		}
	}
	return data, nil
}
