package datasource

import "context"

// OEMFile is where a platform's image has a configuration of its own.
const OEMFile = "/usr/share/oem/cloud-config.yml"

// File is a file, or pipe, that holds user-data.
func File(path string) Source {
	return source{"file " + path, func(ctx context.Context) (*Data, error) {
		text, err := readFile(ctx, path, MaxUserData)
		if err != nil {
			return nil, err
		}
		return &Data{UserData: text}, nil
	}}
}
