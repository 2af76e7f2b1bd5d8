package cluster

import (
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	dataPath       = field.NewPath("data")
	binaryDataPath = field.NewPath("binaryData")
)

// defaultSecret folds the text that a client wrote in the clear into the data, as the
// real server does: stringData is never read back.
func defaultSecret(o object) {
	s := o.(*corev1.Secret)
	or(&s.Type, corev1.SecretTypeOpaque)
	if len(s.StringData) == 0 {
		return
	}
	s.Data = maps.Clone(s.Data) // it may be shared with the stored object
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for k, v := range s.StringData {
		s.Data[k] = []byte(v)
	}
	s.StringData = nil
}

func validateConfigMap(o object) field.ErrorList {
	m := o.(*corev1.ConfigMap)
	var errs field.ErrorList
	size := 0
	for _, k := range slices.Sorted(maps.Keys(m.Data)) {
		errs = append(errs, validateKey(dataPath, k)...)
		if _, twice := m.BinaryData[k]; twice {
			errs = append(errs, field.Invalid(dataPath.Key(k), k, "duplicate of key present in binaryData"))
		}
		size += len(m.Data[k])
	}
	for _, k := range slices.Sorted(maps.Keys(m.BinaryData)) {
		errs = append(errs, validateKey(binaryDataPath, k)...)
		size += len(m.BinaryData[k])
	}
	return append(errs, validateSize(size)...)
}

// neededKeys are what Secrets of a type must hold.
var neededKeys = map[corev1.SecretType][]string{
	corev1.SecretTypeTLS:              {corev1.TLSCertKey, corev1.TLSPrivateKeyKey},
	corev1.SecretTypeDockerConfigJson: {corev1.DockerConfigJsonKey},
	corev1.SecretTypeDockercfg:        {corev1.DockerConfigKey},
	corev1.SecretTypeSSHAuth:          {corev1.SSHAuthPrivateKey},
}

func validateSecret(o object) field.ErrorList {
	s := o.(*corev1.Secret)
	var errs field.ErrorList
	size := 0
	for _, k := range slices.Sorted(maps.Keys(s.Data)) {
		errs = append(errs, validateKey(dataPath, k)...)
		size += len(s.Data[k])
	}
	for _, k := range neededKeys[s.Type] {
		if _, ok := s.Data[k]; !ok {
			errs = append(errs, field.Required(dataPath.Key(k), ""))
		} else if (s.Type == corev1.SecretTypeDockerConfigJson || s.Type == corev1.SecretTypeDockercfg) && !json.Valid(s.Data[k]) {
			errs = append(errs, field.Invalid(dataPath.Key(k), "<secret contents redacted>", "not JSON"))
		}
	}
	return append(errs, validateSize(size)...)
}

func validateKey(at *field.Path, k string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range utilvalidation.IsConfigMapKey(k) {
		errs = append(errs, field.Invalid(at.Key(k), k, msg))
	}
	return errs
}

func validateSize(n int) field.ErrorList {
	if n > corev1.MaxSecretSize {
		return field.ErrorList{field.TooLong(field.NewPath(""), "", corev1.MaxSecretSize)}
	}
	return nil
}

func configMapImmutable(next, cur object) field.ErrorList {
	n, c := next.(*corev1.ConfigMap), cur.(*corev1.ConfigMap)
	errs := frozen(n.Immutable, c.Immutable, apiequality.Semantic.DeepEqual(n.Data, c.Data))
	if c.Immutable != nil && *c.Immutable && !apiequality.Semantic.DeepEqual(n.BinaryData, c.BinaryData) {
		errs = append(errs, field.Forbidden(binaryDataPath, whenImmutable))
	}
	return errs
}

func secretImmutable(next, cur object) field.ErrorList {
	n, c := next.(*corev1.Secret), cur.(*corev1.Secret)
	return append(unchanged(n.Type, c.Type, field.NewPath("type")),
		frozen(n.Immutable, c.Immutable, apiequality.Semantic.DeepEqual(n.Data, c.Data))...)
}

const whenImmutable = "field is immutable when `immutable` is set"

// frozen holds an object whose immutable field is true to its data and to that field.
func frozen(next, cur *bool, same bool) field.ErrorList {
	if cur == nil || !*cur {
		return nil
	}
	var errs field.ErrorList
	if next == nil || !*next {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), whenImmutable))
	}
	if !same {
		errs = append(errs, field.Forbidden(dataPath, whenImmutable))
	}
	return errs
}

func configMapCells(o object, c *tableContext) []any {
	m := o.(*corev1.ConfigMap)
	return []any{int64(len(m.Data) + len(m.BinaryData)), c.age(m.CreationTimestamp)}
}

func secretCells(o object, c *tableContext) []any {
	s := o.(*corev1.Secret)
	return []any{string(s.Type), int64(len(s.Data)), c.age(s.CreationTimestamp)}
}
