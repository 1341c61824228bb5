package netconf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// reader reads a JSON document up to the first error, which it keeps. A number may be a
// string and the other way round, since platforms differ.
type reader struct{ err error }

// object is an object in the document.
type object struct {
	*reader
	path   string
	values map[string]any
}

func (r *reader) document(text []byte) object {
	o := object{reader: r}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err := decoder.Decode(&o.values)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("there are more data after the object")
		}
	}
	if err != nil {
		r.err = fmt.Errorf("the JSON object is not valid: %w", err)
	}
	return o
}

func (o object) at(key string) string {
	switch {
	case key == "":
		return o.path
	case o.path == "":
		return key
	}
	return o.path + "." + key
}

// fail records that a value is not valid.
func (o object) fail(key, value, want string) {
	o.failed(key, fmt.Errorf("%.80q: want %s", value, want))
}

// failed records an error, if it is the first.
func (o object) failed(key string, err error) {
	if err != nil && o.err == nil {
		o.reader.err = fmt.Errorf("%s: %w", o.at(key), err)
	}
}

// text returns a string or a number as text, "" if it is missing.
func (o object) text(key string) string {
	text, ok := asText(o.values[key])
	if !ok {
		o.failed(key, errors.New("want a string"))
	}
	return text
}

func asText(value any) (string, bool) {
	switch value := value.(type) {
	case nil:
		return "", true
	case string:
		return value, true
	case json.Number:
		return value.String(), true
	}
	return "", false
}

// list returns a list, an empty one if it is missing.
func (o object) list(key string) []any {
	list, ok := o.values[key].([]any)
	if !ok && o.values[key] != nil {
		o.failed(key, errors.New("want a list"))
	}
	return list
}

func (o object) texts(key string) []string {
	var texts []string
	for i, each := range o.list(key) {
		text, ok := asText(each)
		if !ok {
			o.failed(fmt.Sprintf("%s[%d]", key, i), errors.New("want a string"))
		}
		texts = append(texts, text)
	}
	return texts
}

func (o object) objects(key string) []object {
	var objects []object
	for i, each := range o.list(key) {
		at := fmt.Sprintf("%s[%d]", key, i)
		values, ok := each.(map[string]any)
		if !ok {
			o.failed(at, errors.New("want an object"))
		}
		objects = append(objects, object{o.reader, o.at(at), values})
	}
	return objects
}

// prefix reads an address with its mask.
func (o object) prefix(key, mask string) netip.Prefix {
	p, err := parseNet(o.text(key), o.text(mask), -1)
	if isMaskError(err) {
		key = mask
	}
	o.failed(key, err)
	return p
}

// parseIn reads a required value.
func parseIn[T any](o object, key string, parse func(string) (T, error)) T {
	value, err := parse(o.text(key))
	o.failed(key, err)
	return value
}
