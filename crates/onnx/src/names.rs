//! The names of constants: the paths of the parameters and buffers they are.
//!
//! A recorded constant is a tensor without a name. One that shares the memory of a
//! parameter is that parameter; the path in the model becomes its name in the file.

use cerberus_nn::Module;
use cerberus_tensor::Tensor;

/// The tensors of a model by the memory they lie in.
pub(crate) struct Names {
    tensors: Vec<(String, Tensor)>,
}

impl Names {
    pub fn of(model: &(impl Module + ?Sized)) -> Self {
        let contiguous = |(path, tensor): (String, Tensor)| (path, tensor.contiguous());
        Self { tensors: model.tensors().into_iter().map(contiguous).collect() }
    }

    /// The path of the parameter or buffer in whose memory the tensor lies.
    pub fn find(&self, tensor: &Tensor) -> Option<&str> {
        let values = tensor.as_slice()?.as_ptr_range();
        let holds = |(_, own): &&(String, Tensor)| {
            let own = own.data().as_ptr_range();
            own.start <= values.start && values.end <= own.end && !values.is_empty()
        };
        self.tensors.iter().find(holds).map(|(path, _)| path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_nn::{Init, Linear, Sequential};

    #[test]
    fn parts_and_other_shapes_of_a_parameter_have_its_path_and_copies_have_none() {
        let linear = Linear::<f32>::new(4, 6, &mut Init::new(1));
        let model = Sequential::new().add("dense", linear);
        let names = Names::of(&model);
        let weight = &model.parameters()[0].1.value;
        assert_eq!(names.find(weight), Some("dense.weight"));
        assert_eq!(names.find(&weight.reshape(&[24])), Some("dense.weight"));
        assert_eq!(names.find(&weight.narrow(0, 1, 2)), Some("dense.weight"));
        assert_eq!(names.find(&weight.clone().scale(2.0)), None);
    }
}
