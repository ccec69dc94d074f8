package inference

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters"
	"lorikeet/inference/nn"
)

// bank is the adapters of one base on the device: a stack of slots for each module,
// of which an adapter of rank r takes ⌈r/8⌉. Loading one writes its rows and
// nothing else; no graph changes. Slot 0 stays the bare base. It belongs to the
// goroutine that owns the device.
type bank struct {
	backend compute.Backend
	base    *Base
	size    int
	tensors map[string]*stack
	clock   func() time.Time
	meters  *meters

	mu     sync.Mutex           // the owner writes, any goroutine may read
	free   []int32              // slots that hold nothing
	loaded map[string]*resident // by digest of the adapter
}

// resident is an adapter that has slots.
type resident struct {
	adapter *Prepared
	slots   []int32
	used    time.Time
	hits    int64
	pinned  bool
}

// stack is one tensor of the bank, [size, row…]. Where the device shares memory with
// the host, flat is that memory.
type stack struct {
	buffer   compute.Buffer
	shape    shapes.Shape
	row      int // values in a row
	standard []float32
	flat     []float32
	dirty    map[int32]bool // slots whose row is not the standard one
	write    *nn.Program    // where memory is not shared
}

func newBank(backend compute.Backend, base *Base, size int) *bank {
	b := &bank{backend: backend, base: base, size: size, tensors: map[string]*stack{}, loaded: map[string]*resident{}, clock: time.Now}
	for i := size - 1; i > 0; i-- {
		b.free = append(b.free, int32(i))
	}
	return b
}

// buffer gives a tensor of the bank, made when a graph first asks for it.
func (b *bank) buffer(p nn.Param) (compute.Buffer, error) {
	if s, ok := b.tensors[p.Name]; ok {
		return s.buffer, nil
	}
	s := &stack{shape: p.Shape, row: p.Shape.Size() / b.size, dirty: map[int32]bool{}}
	var err error
	if s.standard, err = b.standard(p.Name, s.row); err != nil {
		return nil, err
	}
	if err := b.allocate(s); err != nil {
		return nil, fmt.Errorf("bank: %s: %w", p.Name, err)
	}
	b.tensors[p.Name] = s
	for _, r := range b.loaded {
		if err := b.writeRows(p.Name, s, r); err != nil {
			return nil, err
		}
	}
	return s.buffer, nil
}

// allocate makes the tensor, every slot the standard row.
func (b *bank) allocate(s *stack) error {
	var err error
	if b.backend.HasSharedBuffers() {
		var flat any
		if s.buffer, flat, err = b.backend.NewSharedBuffer(0, s.shape); err != nil {
			return err
		}
		s.flat = flat.([]float32)
		repeat(s.flat, s.standard)
		return nil
	}
	values := make([]float32, s.shape.Size())
	repeat(values, s.standard)
	s.buffer, err = nn.Upload(b.backend, values, s.shape.Dimensions...)
	return err
}

func repeat(v, row []float32) {
	for i := 0; i < len(v); i += len(row) {
		copy(v[i:], row)
	}
}

// standard is the row of slot 0, and of an adapter that says nothing of this tensor:
// what leaves the base as it is.
func (b *bank) standard(name string, n int) ([]float32, error) {
	row := make([]float32, n)
	if strings.HasSuffix(name, ".scale") {
		for i := range row {
			row[i] = 1
		}
	}
	for _, m := range b.base.Layout {
		if m.Kind == adapters.Output && name == m.Path+".weight" {
			w, err := b.base.matrix(m)
			if err != nil {
				return nil, err
			}
			return Transpose(w, m.Out, m.In), nil
		}
	}
	if len(b.base.Facts().Labels) == 0 {
		return row, nil
	}
	for _, m := range b.base.Layout {
		if m.Kind == adapters.Head && (name == m.Path+".weight" || name == m.Path+".bias") {
			d, err := b.base.dense(m)
			if err != nil {
				return nil, err
			}
			rows := map[string][]float32{}
			putHead(rows, m, d)
			return rows[name], nil
		}
	}
	return row, nil
}

// writeRows copies an adapter's rows of one tensor into its slots.
func (b *bank) writeRows(name string, s *stack, r *resident) error {
	v := r.adapter.rows[name]
	for i, slot := range r.slots {
		switch {
		case v == nil || (i+1)*s.row > len(v): // nothing for this slot
			if s.dirty[slot] {
				if err := b.set(s, slot, s.standard); err != nil {
					return err
				}
				delete(s.dirty, slot)
			}
		default:
			if err := b.set(s, slot, v[i*s.row:(i+1)*s.row]); err != nil {
				return err
			}
			s.dirty[slot] = true
		}
	}
	return nil
}

// set writes one row.
func (b *bank) set(s *stack, slot int32, row []float32) error {
	if s.flat != nil {
		copy(s.flat[int(slot)*s.row:], row)
		return nil
	}
	if s.write == nil {
		var err error
		if s.write, err = b.writer(s.shape); err != nil {
			return err
		}
	}
	dims := append([]int{1}, s.shape.Dimensions[1:]...)
	values, err := nn.Upload(b.backend, row, dims...)
	if err != nil {
		return err
	}
	index, err := nn.Upload(b.backend, []int32{slot})
	if err != nil {
		return err
	}
	out, err := s.write.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		return map[string]compute.Buffer{"stack": s.buffer, "row": values, "slot": index}[p.Name], true, nil
	})
	if err != nil {
		return fmt.Errorf("bank: write slot %d: %w", slot, err)
	}
	s.buffer = out[0]
	return nil
}

// writer compiles the in-place update of one row, for devices with memory of their
// own. Tensors of one shape share the program.
func (b *bank) writer(shape shapes.Shape) (*nn.Program, error) {
	for _, s := range b.tensors {
		if s.write != nil && s.shape.Equal(shape) {
			return s.write, nil
		}
	}
	return nn.Compile(b.backend, "write_slot", func(p *nn.Pass) []*graph.Node {
		stack := p.Input("stack", dtypes.Float32, shape.Dimensions...)
		row := p.Input("row", dtypes.Float32, append([]int{1}, shape.Dimensions[1:]...)...)
		start := []*graph.Node{graph.Reshape(p.Input("slot", dtypes.Int32, 1))}
		for range shape.Rank() - 1 {
			start = append(start, graph.Scalar(p.Graph, dtypes.Int32, 0))
		}
		return []*graph.Node{graph.DynamicUpdateSlice(stack, row, start)}
	})
}

// fit gives slots to the adapters of a batch, in order, evicting the least recently
// used that nobody pinned: those the batch does not need first. It reports how many
// got theirs; the rest must wait for the next batch.
func (b *bank) fit(batch []*Prepared) (int, error) {
	wanted, seated := map[string]bool{}, map[string]bool{}
	for _, a := range batch {
		wanted[a.Ref.Digest] = true
	}
	for i, a := range batch {
		ok, err := b.load(a, wanted, seated)
		if err != nil || !ok {
			return i, err
		}
		seated[a.Ref.Digest] = true
	}
	return len(batch), nil
}

// load makes an adapter resident. It reports false when there is no room that may
// be taken.
func (b *bank) load(a *Prepared, wanted, seated map[string]bool) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := b.loaded[a.Ref.Digest]; ok {
		r.used = b.clock()
		r.hits++
		b.meters.looked(tierDevice, true)
		return true, nil
	}
	b.meters.looked(tierDevice, false)
	start := time.Now()
	for len(b.free) < a.Pages {
		victim := b.oldest(wanted)
		if victim == nil {
			victim = b.oldest(seated)
		}
		if victim == nil {
			return false, nil
		}
		b.evict(victim)
		b.meters.evict(tierDevice)
	}
	n := len(b.free) - a.Pages
	r := &resident{adapter: a, slots: append([]int32(nil), b.free[n:]...), used: b.clock(), hits: 1}
	b.free = b.free[:n]
	for name, s := range b.tensors {
		if err := b.writeRows(name, s, r); err != nil {
			b.free = append(b.free, r.slots...)
			return false, err
		}
	}
	b.loaded[a.Ref.Digest] = r
	b.meters.loaded(tierHost, start)
	return true, nil
}

func (b *bank) oldest(except map[string]bool) *resident {
	var oldest *resident
	for digest, r := range b.loaded {
		if !except[digest] && !r.pinned && (oldest == nil || r.used.Before(oldest.used)) {
			oldest = r
		}
	}
	return oldest
}

// evict takes an adapter's slots. mu is held.
func (b *bank) evict(r *resident) {
	delete(b.loaded, r.adapter.Ref.Digest)
	b.free = append(b.free, r.slots...)
}

// beside lists the adapters that have slots and are not among these digests.
func (b *bank) beside(digests map[string]bool) []*resident {
	b.mu.Lock()
	defer b.mu.Unlock()
	var others []*resident
	for digest, r := range b.loaded {
		if !digests[digest] {
			others = append(others, r)
		}
	}
	return others
}
