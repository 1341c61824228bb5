package schema

import "encoding/json"

// MetadataChange sets a key of a machine's metadata, or removes the key if Value is empty.
type MetadataChange struct{ MachineID, Key, Value string }

// Operation is one operation of a JSON patch (RFC 6902) of machines' metadata.
type Operation struct {
	Op    string        `json:"op"`
	Path  string        `json:"path"`
	Value MetadataValue `json:"value"`
}

// MetadataValue is read from "VALUE", as RFC 6902 writes it, and from {"value":"VALUE"}, as
// upstream's clients write it.
type MetadataValue string

// UnmarshalJSON reads both forms. null is the empty value.
func (v *MetadataValue) UnmarshalJSON(text []byte) error {
	var plain *string
	if json.Unmarshal(text, &plain) == nil {
		if plain != nil {
			*v = MetadataValue(*plain)
		}
		return nil
	}
	var object struct {
		Value string `json:"value"`
	}
	err := json.Unmarshal(text, &object)
	*v = MetadataValue(object.Value)
	return err
}

// Operation returns the operation that makes the change.
func (c MetadataChange) Operation() Operation {
	o := Operation{Op: "add", Path: "/" + c.MachineID + "/metadata/" + c.Key, Value: MetadataValue(c.Value)}
	if c.Value == "" {
		o.Op = "remove"
	}
	return o
}
