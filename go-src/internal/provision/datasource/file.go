package datasource

import "context"

// OEMFile is the file with the configuration in the image of a platform.
const OEMFile = "/usr/share/oem/cloud-config.yml"

// File is a file or pipe with user-data.
func File(path string) Source {
	return source{"file " + path, func(ctx context.Context) (*Data, error) {
		text, err := readFile(ctx, path, MaxUserData)
		if err != nil {
			return nil, err
		}
		return &Data{UserData: text}, nil
	}}
}
