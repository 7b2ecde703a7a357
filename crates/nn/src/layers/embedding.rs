//! Learned vectors by number.

use cerberus_autograd::Var;
use cerberus_tensor::Element;

use super::Layer;
use crate::context::Context;
use crate::init::Init;
use crate::module::Parameter;

/// One learned vector for each of `V` ids; `weight [V, C]`. As a layer it reads whole numbers from its input, any
/// shape `[..]` to `[.., C]`; [`lookup`](Self::lookup) takes them as integers. No gradient flows to the ids.
#[derive(Clone, Debug)]
pub struct Embedding<T: Element = f32> {
    weight: Parameter<T>,
}

crate::module!(Embedding { weight });

impl<T: Element> Embedding<T> {
    /// `ids` vectors of `channels` values, standard normal as in PyTorch.
    pub fn new(ids: usize, channels: usize, init: &mut Init) -> Self {
        Self { weight: Parameter::new(init.normal(&[ids, channels], 1.0)) }
    }

    /// The vectors of these ids, `[ids.len(), C]`.
    ///
    /// # Panics
    /// If an id is not below `V`.
    #[track_caller]
    pub fn lookup(&self, ids: &[usize], context: &mut Context<T>) -> Var<T> {
        let y = context.parameter(&self.weight).index_select(0, ids);
        context.layer_done(&self.weight, &y);
        y
    }
}

impl<T: Element> Layer<T> for Embedding<T> {
    /// # Panics
    /// If a value of `x` is not a whole number from 0 to `V - 1`.
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let &[count, channels] = self.weight.value.shape() else { unreachable!("the weight is a matrix") };
        let id = |value: T| {
            let value = value.as_f64();
            let fits = value >= 0.0 && value < count as f64 && value.fract() == 0.0;
            assert!(fits, "Embedding: {value} is not an id: ids are whole numbers from 0 to {}", count - 1);
            value as usize
        };
        let ids: Vec<usize> = x.value().to_vec().into_iter().map(id).collect();
        let y = context.parameter(&self.weight).index_select(0, &ids);
        let y = y.reshape(&[x.shape(), &[channels]].concat());
        context.layer_done(&self.weight, &y);
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_tensor::Tensor;

    #[test]
    fn a_layer_and_a_lookup_of_the_same_ids_give_the_same_rows() {
        let layer = Embedding::<f32>::new(5, 3, &mut Init::new(1));
        let ids = Tensor::from_vec(vec![4.0, 0.0, 4.0, 2.0], &[2, 2]);
        let y = crate::predict(&layer, ids);
        assert_eq!(y.shape(), [2, 2, 3]);
        let rows = layer.lookup(&[4, 0, 4, 2], &mut Context::evaluation());
        assert_eq!(y.to_vec(), rows.into_value().to_vec());
        assert_eq!(y.to_vec()[..3], layer.weight.value.to_vec()[12..]);
    }

    #[test]
    #[should_panic(expected = "Embedding: 5 is not an id: ids are whole numbers from 0 to 4")]
    fn an_id_beyond_the_last_is_refused() {
        crate::predict(&Embedding::<f32>::new(5, 3, &mut Init::new(1)), Tensor::from_vec(vec![5.0], &[1]));
    }
}
