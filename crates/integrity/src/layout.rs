//! Where the members of the kernel's types stand, by the running kernel's own type information.

use libbpf_rs::btf::ReferencesType as _;
use libbpf_rs::btf::types::{Array, Composite, FuncProto, MemberAttr, Ptr, Struct};
use libbpf_rs::btf::{Btf, BtfType};

/// The kernel's types.
pub(crate) struct Layout(Btf<'static>);

impl Layout {
    pub(crate) fn new() -> Result<Self, String> {
        Btf::from_vmlinux().map(Self).map_err(|e| format!("reading the kernel's types: {e}"))
    }

    /// The offset of a member of a member ... of a struct: `("file", "f_path.dentry")`. Members of nameless members count as the struct's own.
    pub(crate) fn offset(&self, name: &str, path: &str) -> Result<u64, String> {
        self.member(name, path).map(|m| m.0)
    }

    /// How many elements an array that is a member has, and the size of each.
    pub(crate) fn array(&self, name: &str, path: &str) -> Result<(usize, u64), String> {
        let (_, ty) = self.member(name, path)?;
        let array = Array::try_from(ty).map_err(|_| format!("{name}.{path} is no array"))?;
        Ok((array.capacity(), size_of_type(&array.contained_type().skip_mods_and_typedefs())))
    }

    /// The members of a struct that point to functions, with their offsets; and its size.
    pub(crate) fn functions(&self, name: &str) -> Result<(Vec<(String, usize)>, usize), String> {
        let ty = self.composite(name)?;
        let mut found = vec![];
        for member in ty.iter() {
            let (Some(name), MemberAttr::Normal { offset }) = (member.name, member.attr) else { continue };
            let Some(ty) = self.0.type_by_id::<BtfType<'_>>(member.ty) else { continue };
            let Ok(pointer) = Ptr::try_from(ty.skip_mods_and_typedefs()) else { continue };
            if FuncProto::try_from(pointer.referenced_type().skip_mods_and_typedefs()).is_ok() {
                found.push((name.to_string_lossy().into_owned(), offset as usize / 8));
            }
        }
        let size = found.iter().map(|f| f.1 + 8).max().unwrap_or(0);
        Ok((found, size))
    }

    fn composite(&self, name: &str) -> Result<Composite<'_>, String> {
        let found = self.0.type_by_name::<Struct<'_>>(name).map(Composite::from);
        found.ok_or_else(|| format!("this kernel has no type {name}"))
    }

    fn member(&self, name: &str, path: &str) -> Result<(u64, BtfType<'_>), String> {
        let no = || format!("this kernel has no {name}.{path}");
        let mut ty = self.composite(name)?;
        let mut offset = 0;
        let mut found = None;
        for part in path.split('.') {
            if let Some(found) = found {
                ty = Composite::try_from(found).map_err(|_| no())?;
            }
            let (at, member) = self.find(&ty, part).ok_or_else(no)?;
            offset += at;
            found = Some(member);
        }
        found.map(|ty| (offset, ty)).ok_or_else(no)
    }

    fn find(&self, ty: &Composite<'_>, name: &str) -> Option<(u64, BtfType<'_>)> {
        ty.iter().find_map(|member| {
            let MemberAttr::Normal { offset } = member.attr else { return None };
            let inner = self.0.type_by_id::<BtfType<'_>>(member.ty)?.skip_mods_and_typedefs();
            let at = u64::from(offset) / 8;
            match member.name {
                Some(n) if n == name => Some((at, inner)),
                Some(n) if !n.is_empty() => None,
                _ => self.find(&Composite::try_from(inner).ok()?, name).map(|(o, t)| (at + o, t)),
            }
        })
    }
}

fn size_of_type(ty: &BtfType<'_>) -> u64 {
    use libbpf_rs::btf::HasSize as _;
    Composite::try_from(*ty).map_or(8, |c| c.size() as u64)
}
