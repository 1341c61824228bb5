package payload

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"coreos/internal/boot/verity"
)

func TestReadOrder(t *testing.T) {
	lost := errors.New("connection lost")
	change := func(at int, to byte) io.Reader {
		frame := order{1, 0, 2}.frame()
		frame[at] = to
		return bytes.NewReader(frame)
	}
	for name, test := range map[string]struct {
		from io.Reader
		want error
	}{
		"good":        {bytes.NewReader(order{1, 0, 2}.frame()), nil},
		"more behind": {bytes.NewReader(append(order{1, 0, 2}.frame(), 7, 8, 9)), nil},
		"empty":       {bytes.NewReader(nil), ErrFormat},
		"cut":         {bytes.NewReader(order{1, 0, 2}.frame()[:19]), ErrFormat},
		"too short":   {bytes.NewReader(order{0, 1}.frame()), ErrFormat},
		"too long":    {bytes.NewReader(order{0, 1, 2, 3}.frame()), ErrFormat},
		"magic":       {change(0, 0x50), ErrFormat},
		"size":        {change(5, 1), ErrFormat},
		"twice":       {change(8, 0), ErrFormat},
		"too large":   {change(8, 3), ErrFormat},
		"far":         {change(11, 0x80), ErrFormat},
		"other last":  {bytes.NewReader(order{0, 2, 1}.frame()), ErrFormat},
		"lost":        {io.MultiReader(bytes.NewReader(order{1, 0, 2}.frame()[:9]), broken{lost}), lost},
	} {
		got, err := readOrder(test.from, 2*ChunkBlocks+1)
		if !errors.Is(err, test.want) || err == nil && !reflect.DeepEqual(got, order{1, 0, 2}) {
			t.Errorf("%s: %v, error %v, want %v", name, got, err, test.want)
		}
	}
}

func TestOrderReader(t *testing.T) {
	const blocks = 2*ChunkBlocks + 1
	content := usr(blocks)
	o := order{1, 0, 2}
	got, err := io.ReadAll(o.reader(bytes.NewReader(content), blocks))
	if err != nil || len(got) != len(content) {
		t.Fatalf("%d bytes, error %v", len(got), err)
	}
	for place := range uint64(blocks) {
		if block := o.block(place); !bytes.Equal(got[place*verity.BlockSize:][:verity.BlockSize], content[block*verity.BlockSize:][:verity.BlockSize]) {
			t.Errorf("place %d does not have block %d", place, block)
		}
	}
}
